"""What a request sends: JSON, a form, text, or parts with files (multipart).

Artifacts are read while they are sent, never into memory as a whole; a redirect
that keeps the body reads them again.
"""

import json
import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from urllib.parse import urlencode

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import NotFoundError, PermanentError

BODIES: Final = ("json", "form", "body", "multipart")

_CHUNK: Final = 64 * 1024
_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; ?[\w-]+=[\w!#$&^.+:-]+)*", re.ASCII)
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _Stored:
    """Bytes that are opened when they are sent."""

    length: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class RequestBody:
    """Iterated once for each request that sends it."""

    content_type: str | None = None
    pieces: tuple[bytes | _Stored, ...] = ()

    @property
    def length(self) -> int:
        return sum(p.length if isinstance(p, _Stored) else len(p) for p in self.pieces)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            with piece.open() as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk


def request_body(inputs: Mapping[str, Any], context: ActionContext) -> RequestBody:
    """Make the body that the inputs of ``http.call`` ask for; an empty one where they ask for none.

    Raises ``PermanentError`` with code ``invalid_inputs`` or ``artifact_not_found``.
    """
    given = [name for name in BODIES if name in inputs]
    if len(given) > 1:
        raise PermanentError("invalid_inputs", f"{' and '.join(given)} are two bodies; keep one")
    match given:
        case ["json"]:
            return RequestBody("application/json", (json.dumps(inputs["json"]).encode(),))
        case ["form"]:
            fields = {name: text_of(value) for name, value in inputs["form"].items()}
            content = urlencode(fields, errors="replace").encode()
            return RequestBody("application/x-www-form-urlencoded", (content,))
        case ["body"]:
            return RequestBody("text/plain; charset=utf-8", (_utf8(inputs["body"]),))
        case ["multipart"]:
            return _multipart(inputs["multipart"], context)
    return RequestBody()


def text_of(value: Any) -> str:  # noqa: ANN401 - a string, number or boolean
    """Say a plain value as a form, a query or a header does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _utf8(text: str) -> bytes:
    """Without lone surrogates, which no UTF-8 can say."""
    return text.encode("utf-8", "replace")


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def _multipart(fields: Mapping[str, Any], context: ActionContext) -> RequestBody:
    """RFC 7578. 128 random bits, made after the content, stand in no content of anybody's."""
    boundary = f"xyn-{secrets.token_hex(16)}"
    pieces: list[bytes | _Stored] = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            head, content = _part(name, one, context)
            pieces += [f"--{boundary}\r\n".encode(), head, content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return RequestBody(f"multipart/form-data; boundary={boundary}", tuple(pieces))


def _part(name: str, value: Any, context: ActionContext) -> tuple[bytes, bytes | _Stored]:  # noqa: ANN401 - see the schema
    """Give a part's headers and its content."""
    disposition = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if not isinstance(value, Mapping):
        return _utf8(f"{disposition}\r\n\r\n"), _utf8(text_of(value))
    content: bytes | _Stored
    if "artifact_id" in value:
        content, filename, kind = _artifact(value["artifact_id"], context)
    else:
        content, filename, kind = _utf8(value["text"]), None, "text/plain; charset=utf-8"
    filename, kind = value.get("filename", filename), value.get("content_type", kind)
    if not _MEDIA_TYPE.fullmatch(kind):
        raise PermanentError("invalid_inputs", f"{kind!r} of the part {name} is no content type")
    if filename is not None:
        disposition += f'; filename="{_quoted(safe_filename(filename))}"'
    return _utf8(f"{disposition}\r\nContent-Type: {kind}\r\n\r\n"), content


def _artifact(artifact_id: str, context: ActionContext) -> tuple[_Stored, str, str]:
    """Give an artifact's bytes, its name and its type."""
    give = context.open_artifact
    if give is None:
        raise PermanentError("artifact_not_found", "no artifacts are kept here")
    try:
        wanted = uuid.UUID(artifact_id)
        artifact, stream = give(wanted)
    except (ValueError, NotFoundError) as error:
        message = f"there is no artifact {artifact_id!r} to send"
        raise PermanentError("artifact_not_found", message) from error
    stream.close()
    kind = artifact.content_type
    return (
        _Stored(artifact.byte_length or 0, lambda: give(wanted)[1]),
        artifact.name,
        kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream",
    )


def safe_filename(name: str) -> str:
    """Give a name without folders and controls: the other side may write a file of it."""
    last = _UNSAFE.sub("", name.replace("\\", "/")).rpartition("/")[2].strip()
    return last if last.strip(".") else "file"


def _quoted(text: str) -> str:
    """As browsers write it in a header (HTML, "multipart/form-data encoding algorithm")."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
