"""What an answer to ``http.call`` comes to: its outputs, an artifact, or a failure.

The other side may send whatever it likes: every body is bounded, and what is told of a
failure has its secrets taken out before it is cut.
"""

import codecs
import datetime as dt
import email.utils
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from xyn_reconciler.action.body import Counted, parsed_json, read_body, unpacked
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.tls import shown
from xyn_reconciler.model.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    import httpx2

LONGEST_RETRY_AFTER: Final = dt.timedelta(hours=1)
_EXCERPT: Final = 2000
_BEYOND: Final = 16_384
"""Bytes behind an excerpt that are looked at, so that no half of a secret stays; none is longer."""
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
"""Of Python's: escapes, and one that takes minutes for a megabyte."""


def answer(
    method: str,
    response: "httpx2.Response",
    inputs: Mapping[str, Any],
    context: ActionContext,
    limit: int,
) -> dict[str, Any]:
    """Read the answer that is the last, and give the outputs if it is a success."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    kind, expected = headers.get("content-type", ""), inputs.get("expect_status")
    encoding = None if method == "HEAD" else headers.get("content-encoding")
    outputs = {"status": response.status_code, "headers": headers, "body": "", "json": None}
    if response.extensions["certificate"]:
        outputs["certificate"] = shown(response.extensions["certificate"])
    fits = _is_success(response.status_code, expected)
    if fits and "save_to" in inputs:
        pieces = unpacked(response.iter_raw(), encoding)
        return outputs | _kept(pieces, inputs["save_to"], kind, context)
    # What is no success is told with its beginning, however long it is.
    most = limit if fits else _EXCERPT + _BEYOND
    body = read_body(response.iter_raw(), encoding, most, cut=not fits)
    text = body.decode(_charset(kind), "replace")
    outputs |= {"body": text, "json": parsed_json(kind, text)}
    return judged(outputs, expected, context.redact, min(limit, _EXCERPT))


def _kept(
    pieces: Iterator[bytes], name: str, content_type: str, context: ActionContext
) -> dict[str, Any]:
    if context.artifact is None:
        raise PermanentError("invalid_inputs", "save_to: no artifacts are kept here")
    body = Counted(pieces)
    artifact_id = context.artifact(
        name=name,
        kind="http.body",
        content_type=content_type or "application/octet-stream",
        # Of a stream a keeper reads, and asks for nothing else.
        content=cast("BinaryIO", body),
    )
    context.log(f"{body.length} bytes became artifact {artifact_id}")
    return {"artifact_id": str(artifact_id), "sha256": body.sha256, "bytes": body.length}


def _charset(content_type: str) -> str:
    match = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    try:
        return "utf-8" if match is None else _known_charset(match[1])
    except LookupError:
        return "utf-8"


def _known_charset(name: str) -> str:
    """Raises LookupError for what is unknown, or is no encoding of texts."""
    "".encode(name)
    found = codecs.lookup(name).name
    if found.replace("_", "-") in _NO_CHARSETS:
        raise LookupError(found)
    return found


def _is_success(status: int, expected: Collection[int] | None) -> bool:
    return status in expected if expected is not None else 200 <= status < 300  # noqa: PLR2004 - success


def judged(
    outputs: dict[str, Any],
    expected: Collection[int] | None,
    redact: Callable[[str], str],
    most: int = _EXCERPT,
) -> dict[str, Any]:
    """Give the outputs of ``http.call`` if their status is a success, else raise ``http_status``.

    Of another answer's body ``most`` characters are told; ``redact`` takes secrets out before
    it is cut, which would leave half of one.
    429 and 5xx are worth another attempt, not before ``Retry-After``.
    """
    status = outputs["status"]
    if _is_success(status, expected):
        return outputs
    message = f"the server answered {status}"
    details = {"status": status, "body": redact(outputs["body"])[:most]}
    if status == 429 or status >= 500:  # noqa: PLR2004 - RFC 6585, RFC 9110
        delay = retry_after(outputs["headers"].get("retry-after"))
        raise TemporaryError("http_status", message, delay=delay, details=details)
    raise PermanentError("http_status", message, details=details)


def retry_after(value: str | None) -> dt.timedelta | None:
    """Read seconds or a date (RFC 9110, 10.2.3); ``None`` for anything else."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return min(dt.timedelta(seconds=int(value.strip()[:9])), LONGEST_RETRY_AFTER)
    try:
        until = email.utils.parsedate_to_datetime(value)
        # A date without a zone is of UTC (RFC 5322, section 3.3: -0000).
        until = until.replace(tzinfo=dt.UTC) if until.tzinfo is None else until.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    wait = until - dt.datetime.now(dt.UTC)
    return max(dt.timedelta(), min(wait, LONGEST_RETRY_AFTER))
