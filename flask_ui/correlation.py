"""One id that follows a request through events, runs, logs and answers (seed 29.4).

``X-Correlation-Id`` is kept where it is sane, else the trace id of a W3C
``traceparent``, else a new one is made. The trap: what a stranger sends ends up
in rows and log lines, so only short, plain text is taken over.
"""

import re
import uuid
from typing import Final

from werkzeug.datastructures import Headers

HEADER: Final = "X-Correlation-Id"
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def correlation_id(headers: Headers) -> str:
    """The id that a request brings, or a new one; headers by their lower-case or usual names."""
    given = headers.get(HEADER, "")
    if _SANE.fullmatch(given):
        return given
    return trace_id(headers) or str(uuid.uuid4())


def trace_id(headers: Headers) -> str | None:
    """The trace id of a valid ``traceparent`` (W3C Trace Context, section 3.2), else ``None``."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if found is None or found[0].startswith("ff") or set(found[1]) == {"0"}:
        return None
    return found[1]
