"""One id that follows a request through events, runs, logs and answers (seed 29.4).

``X-Correlation-Id`` is kept where it is sane, else the trace id of a W3C
``traceparent``, else a new one is made. The trap: what a stranger sends ends up
in rows and log lines, so only short, plain text is taken over.
"""

import logging
import re
import time
from typing import Final

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request

from xyn_reconciler.model.correlation import bind
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.redaction import Redactor

logger = logging.getLogger(__name__)

HEADER: Final = "X-Correlation-Id"
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Begun:
    """A request that has its name: it is answered with it, and so is what is logged meanwhile.

    One line says how it ended.
    """

    def __init__(self, request: Request, redactor: Redactor) -> None:
        self._began = time.perf_counter()
        self._request = request
        # It goes into rows, logs and records like any other word that a stranger sends.
        self.id = redactor.text(correlation_id(request.headers))
        # Until the next request of this thread: a body that streams is still under way at the end.
        bind(correlation_id=self.id)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What the answer says of it."""
        named = [(HEADER, self.id)]
        if trace_id(self._request.headers) is not None:
            named.append(("traceparent", self._request.headers["traceparent"]))
        return named

    def end(self, status: int) -> None:
        request = self._request
        logger.info(
            "%s %s %d",
            request.method,
            request.path,
            status,
            extra={
                "method": request.method,
                "path": request.path,
                "status": status,
                "milliseconds": round((time.perf_counter() - self._began) * 1000, 2),
                "remote": request.remote_addr,
            },
        )


def correlation_id(headers: Headers) -> str:
    """The id that a request brings, or a new one; headers by their lower-case or usual names."""
    given = headers.get(HEADER, "")
    if _SANE.fullmatch(given):
        return given
    return trace_id(headers) or str(new_id())


def trace_id(headers: Headers) -> str | None:
    """The trace id of a valid ``traceparent`` (W3C Trace Context, section 3.2), else ``None``."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if found is None or found[0].startswith("ff") or set(found[1]) == {"0"}:
        return None
    return found[1]
