"""The HTTP API as commands see it: JSON in and out, errors as ``XynError`` with their exit code."""

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx2

from xyn_reconciler import __version__
from xyn_reconciler.cli.find import find_node
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NeedsApprovalError,
    NotFoundError,
    ProblemsError,
    UnavailableError,
    XynError,
)
from xyn_reconciler.node.home import Home
from xyn_reconciler.store.credentials import Credentials

_PAGE: Final = 200
_SECONDS: Final = 30.0
_LONG_SECONDS: Final = 300.0
"""Without a word from a node that told that it is at work."""
_ERRORS: Final[dict[int, type[XynError]]] = {
    400: InvalidError,
    401: DeniedError,
    403: NeedsApprovalError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    503: UnavailableError,
}


def segment(text: str) -> str:
    """Quote what a person typed as one part of a path."""
    return quote(text, safe="")


def connect(options: argparse.Namespace) -> "Client":
    """Give the API of the node that a command is meant for, and act as whom it says.

    ``--as``, then ``XYN_TOKEN`` where it is somebody's, then the owner of the home,
    then ``XYN_TOKEN`` as what a node beyond loopback asks of everybody.
    """
    found = find_node(options.home)
    return Client(found.url, token_of(found.home, getattr(options, "acting", None)))


def token_of(home: Home | None, acting: str | None = None) -> str | None:
    """Give the token to act with; see :func:`connect`."""
    given = os.environ.get("XYN_TOKEN")
    if acting or (given or "").startswith("xyn_"):
        return acting or given
    own = None if home is None else Credentials(home.path).owner_token()
    return own or given


class Client:
    """One node's API; ``token`` says who acts."""

    def __init__(self, url: str, token: str | None = None) -> None:
        headers = {"User-Agent": f"xynctl/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.url = url
        self._http = httpx2.Client(
            base_url=f"{url}/api/v1", headers=headers, timeout=_SECONDS, trust_env=False
        )

    def get(self, path: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        known = {key: str(value) for key, value in parameters.items() if value is not None}
        return self._ask("GET", path, params=known)

    def get_slowly(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """As :meth:`get`, of what takes a node minutes to say."""
        return self._ask("GET", path, timeout=_LONG_SECONDS)

    def post(
        self,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        seconds: float = _SECONDS,
    ) -> Any:  # noqa: ANN401 - JSON
        given = {} if body is None else body
        return self._ask("POST", path, json=given, headers=headers, timeout=seconds)

    def lines(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        """Ask for something that takes long; gives what is told of it, the answer last.

        Leaving the loop hangs up, and that cancels it.
        """
        headers = {"Accept": "application/x-ndjson"}
        try:
            with self._http.stream(
                "POST", path, json=body, headers=headers, timeout=_LONG_SECONDS
            ) as told:
                if not told.is_success:
                    told.read()
                    raise _error(told)
                for line in told.iter_lines():
                    found = json.loads(line)
                    if "error" in found:
                        raise _error(httpx2.Response(found["status"], json=found))
                    yield found
        except httpx2.HTTPError as error:
            message = f"the node at {self.url} does not answer any more ({error})"
            raise UnavailableError(message) from error

    def chunks(self, path: str, *, start: int, etag: str) -> Iterator[bytes]:
        """Give bytes from ``start`` on, of what has that ETag; raises where it breaks off."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": f'"{etag}"'}
        try:
            with self._http.stream("GET", path, headers=headers, timeout=_LONG_SECONDS) as given:
                if not given.is_success:
                    given.read()
                    raise _error(given)
                if start and given.status_code != httpx2.codes.PARTIAL_CONTENT:
                    raise ConflictError("it is another by now than the part that came: get it anew")
                # As it comes: of a part that is waited for, nothing would be left.
                yield from given.iter_bytes()
        except httpx2.HTTPError as error:
            message = f"the node at {self.url} does not answer any more ({error})"
            raise UnavailableError(message) from error

    def delete(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._ask("DELETE", path)

    def post_bytes(self, path: str, body: bytes, headers: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
        return self._ask("POST", path, content=body, headers=headers)

    def items(self, path: str, *, limit: int, **parameters: object) -> Iterator[dict[str, Any]]:
        """Read a list page by page, at most ``limit`` items."""
        cursor = None
        while limit > 0:
            page = self.get(path, limit=min(limit, _PAGE), cursor=cursor, **parameters)
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - handed to the client
        try:
            answer = self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            message = f"no node answers at {self.url} ({error}); start it: xynctl up"
            raise UnavailableError(message) from error
        if answer.is_success:
            return answer.json()
        raise _error(answer)


def _error(answer: httpx2.Response) -> XynError:
    try:
        found = answer.json()["error"]
        code, message, details = found["code"], str(found["message"]), found.get("details")
    except (ValueError, KeyError, TypeError):
        return XynError(f"the node answered {answer.status_code} without a reason")
    if code == DeniedError.code:
        return DeniedError(message, details=details)
    if code == ProblemsError.code:
        return XynError(message, details=details)  # the command was right, the files are not
    return _ERRORS.get(answer.status_code, XynError)(message, details=details)
