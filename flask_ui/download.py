"""Give out bytes that strangers made, so that no browser takes them for a page of ours.

Always an attachment, never sniffed, in a sandbox: even an HTML file opened from
here runs nothing and sees nothing.
"""

import io
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import flask
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.http import parse_options_header
from werkzeug.wsgi import FileWrapper

_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ONE_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]{1,99}-[0-9]{0,99}|-[0-9]{1,99})", re.IGNORECASE)
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
    full = quote(name[:100].encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain[:100]}\"; filename*=UTF-8''{full}"


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
    section 14.2, lets a server ignore them): nobody resumes a download in many parts. Other
    conditions come first (section 13.2.2).
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
    asked = dict(flask.request.environ)
    part = _part(asked, size)
    asked.pop("HTTP_RANGE", None)
    response.make_conditional(asked, accept_ranges=size is not None)
    if response.status_code == HTTPStatus.PRECONDITION_FAILED:
        stream.close()
        raise PreconditionFailed
    if part is not None and response.status_code == HTTPStatus.OK:
        try:
            response.make_conditional(
                asked | {"HTTP_RANGE": part}, accept_ranges=True, complete_length=size
            )
        except RequestedRangeNotSatisfiable:
            stream.close()
            raise
    return response


def _part(environ: Mapping[str, Any], size: int | None) -> str | None:
    """Give the one range that is asked for; None where the whole is to be given."""
    found = _ONE_RANGE.fullmatch(environ.get("HTTP_RANGE", "").strip())
    weak = environ.get("HTTP_IF_RANGE", "").startswith("W/")
    if found is None or not size or weak or environ["REQUEST_METHOD"] != "GET":
        return None
    first, _, last = found[1].partition("-")
    if not first:
        # Of fewer than the last so many bytes these are all.
        return f"bytes=-{min(int(last), size)}"
    return None if last and int(last) < int(first) else f"bytes={first}-{last}"
