"""Give out bytes that strangers made, so that no browser takes them for a page of ours.

Always an attachment, never sniffed, in a sandbox: even an HTML file opened from
here runs nothing and sees nothing.
"""

import io
import re
from collections.abc import Mapping
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import flask
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import parse_options_header
from werkzeug.wsgi import FileWrapper

_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ONE_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]+-[0-9]*|-[0-9]+)", re.IGNORECASE)
_CHARSETS: Final = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252"})
"""Those in which every ``<`` of a text is one for a browser as well."""
DEFAULT_TYPE: Final = "application/octet-stream"


def safe_type(content_type: str | None) -> str:
    """The content type if it is one, with its charset; else that of plain bytes."""
    kind, options = parse_options_header(content_type or "")
    if not _TYPE.fullmatch(kind.lower()):
        return DEFAULT_TYPE
    charset = options.get("charset", "").lower()
    return f"{kind.lower()}; charset={charset}" if charset in _CHARSETS else kind.lower()


def disposition(name: str) -> str:
    """``Content-Disposition`` with a plain name, and the full one for who reads it (RFC 6266)."""
    plain = _PLAIN.sub("_", name).strip("._") or "file"
    full = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain[:100]}\"; filename*=UTF-8''{full[:300]}"


def attachment(
    content: bytes | BinaryIO,
    *,
    name: str,
    content_type: str | None,
    length: int | None = None,
    etag: str | None = None,
) -> flask.Response:
    """Answer with bytes or a stream, which is closed behind it; ``Range`` needs a length.

    One range is answered with that part, many, or what is none, with the whole (RFC 9110,
    section 14.2, lets a server ignore them): nobody resumes a download in many parts.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    size = len(content) if isinstance(content, bytes) else length
    response = flask.Response(FileWrapper(stream), direct_passthrough=True)
    response.headers["Content-Type"] = safe_type(content_type)
    response.headers["Content-Disposition"] = disposition(name)
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    if size is not None:
        response.content_length = size
    if etag is not None:
        response.set_etag(etag)
    try:
        asked = _of_one_range(flask.request.environ)
        response.make_conditional(asked, accept_ranges=size is not None, complete_length=size)
    except RequestedRangeNotSatisfiable:
        stream.close()
        raise
    return response


def _of_one_range(environ: Mapping[str, Any]) -> dict[str, Any]:
    asked = dict(environ)
    if not _ONE_RANGE.fullmatch(asked.get("HTTP_RANGE", "").strip()):
        asked.pop("HTTP_RANGE", None)
    return asked
