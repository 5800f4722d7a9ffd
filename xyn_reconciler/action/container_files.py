"""The files that go into a container and come out of it, as archives; no folder of ours is shared.

What comes out was made by whoever is in there: a link, a device, a name that
leads elsewhere or a size that is a trap is left out or refused, and nothing is
ever written to this machine but as an artifact.
"""

import io
import mimetypes
import re
import tarfile
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, Final, cast

from xyn_reconciler.action.container_settings import owner
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import PermanentError

# Lengths are PATH_MAX's matter: RE2 unrolls counted repeats, and refuses what grows too large.
IN_PATTERN: Final = r"^in(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$"
OUT_PATTERN: Final = r"^out(/[A-Za-z0-9_][A-Za-z0-9._-]*)*/?$"
NAME_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
PATH_MAX: Final = 200
"""Characters of a path in the folder."""

RESULT_MAX: Final = 256 * 1024
"""Bytes of a result file."""
FILES_MAX: Final = 200
"""Files that become artifacts."""
_ENTRIES_MAX: Final = 20_000
"""Entries of an archive that are looked at."""
_IN_MEMORY: Final = 1 << 20


@dataclass(slots=True)
class Found:
    """What was found in ``out``."""

    artifacts: dict[str, str] = field(default_factory=dict)
    """Path below ``out`` -> artifact id."""
    result: bytes | None = None


def check(inputs: Mapping[str, Any]) -> None:
    """Refuse paths that lead elsewhere; raises ``PermanentError`` (``invalid_inputs``)."""
    asked = [
        *((IN_PATTERN, path) for path in inputs.get("files", {})),
        *((NAME_PATTERN, name) for name in inputs.get("inputs", {})),
        *((OUT_PATTERN, path) for path in inputs.get("artifacts", [])),
        *((OUT_PATTERN, path) for path in [inputs.get("result")] if path is not None),
    ]
    for pattern, path in asked:
        if not re.fullmatch(pattern.strip("^$"), path) or len(path) > PATH_MAX:
            message = f"{path!r} is no path here: in/NAME for what goes in, out/NAME for the rest"
            raise PermanentError("invalid_inputs", message)
    taken = {*_folders(inputs), *inputs.get("files", {})}
    twice = {f"in/{name}" for name in inputs.get("inputs", {})} & taken
    twice |= set(_folders(inputs)) & set(inputs.get("files", {}))
    if twice:
        raise PermanentError("invalid_inputs", f"{min(twice)} is given twice, or is a folder too")


def wanted(inputs: Mapping[str, Any]) -> bool:
    """Whether the step needs a folder of its own."""
    return any(inputs.get(name) for name in ("files", "inputs", "artifacts", "result"))


# ── in ───────────────────────────────────────────────────────────────────────────────────────────


def packed(inputs: Mapping[str, Any], context: ActionContext) -> IO[bytes]:
    """Give an archive of ``in`` and an empty ``out``, which alone is the command's own."""
    uid, _, gid = owner(inputs).partition(":")
    archive = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller's
    with tarfile.open(fileobj=cast("IO[bytes]", archive), mode="w|") as tar:
        for folder in _folders(inputs):
            tar.addfile(_entry(folder, tarfile.DIRTYPE))
        tar.addfile(_entry("out", tarfile.DIRTYPE, uid=int(uid), gid=int(gid or uid)))
        for path, text in inputs.get("files", {}).items():
            data = text.encode("utf-8", "surrogatepass")
            tar.addfile(_entry(path, size=len(data)), io.BytesIO(data))
        for name, given in inputs.get("inputs", {}).items():
            _add_artifact(tar, name, given, context)
    archive.seek(0)
    return cast("IO[bytes]", archive)


def _folders(inputs: Mapping[str, Any]) -> list[str]:
    files = map(PurePosixPath, inputs.get("files", {}))
    return sorted({"in", *(str(up) for path in files for up in path.parents if up.name)})


def _add_artifact(tar: tarfile.TarFile, name: str, given: str, context: ActionContext) -> None:
    if context.open_artifact is None:
        raise PermanentError("invalid_inputs", "there are no artifacts here")
    try:
        artifact_id = uuid.UUID(given)
    except ValueError as error:
        raise PermanentError("invalid_inputs", f"{given!r} is no artifact's id") from error
    artifact, stream = context.open_artifact(artifact_id)
    with stream:
        tar.addfile(_entry(f"in/{name}", size=artifact.byte_length or 0), stream)


def _entry(
    path: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, uid: int = 0, gid: int = 0
) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.size, entry.uid, entry.gid = kind, size, uid, gid
    entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return entry


# ── out ──────────────────────────────────────────────────────────────────────────────────────────


def collected(pieces: Iterable[bytes], inputs: Mapping[str, Any], context: ActionContext) -> Found:
    """Read the archive of ``out``: keep what is an artifact, and the result.

    Raises ``PermanentError``: ``too_many_files``, ``file_too_large``.
    """
    found, seen = Found(), 0
    with tarfile.open(fileobj=_Pieces(iter(pieces)), mode="r|") as tar:
        for entry in tar:
            seen += 1
            go_on(context)
            if seen > _ENTRIES_MAX or len(found.artifacts) >= FILES_MAX:
                message = f"out holds more than {FILES_MAX} files to keep: make an archive of them"
                raise PermanentError("too_many_files", message)
            _take(tar, entry, inputs, found, context)
    return found


def _take(
    tar: tarfile.TarFile,
    entry: tarfile.TarInfo,
    inputs: Mapping[str, Any],
    found: Found,
    context: ActionContext,
) -> None:
    path = PurePosixPath(entry.name)
    is_result = entry.name == inputs.get("result")
    keep = context.artifact is not None and _below(path, inputs.get("artifacts", []))
    if entry.isdir() or not (is_result or keep):
        return
    if not entry.isreg() or entry.issparse() or path.parts[:1] != ("out",) or ".." in path.parts:
        context.log(f"left out {str(path)!r}: it is no ordinary file")
        return
    most = RESULT_MAX if is_result else context.artifact_max
    if entry.size > most:
        message = f"{str(path)!r} has {entry.size} bytes; {most} are allowed"
        raise PermanentError("file_too_large", message)
    content = tar.extractfile(entry)
    if content is None:
        return
    if is_result:
        found.result = content.read()
        content = io.BytesIO(found.result)
    if keep and context.artifact is not None:
        name = str(path.relative_to("out")).encode("utf-8", "backslashreplace").decode()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kept = context.artifact(
            name=name, kind="output", content_type=kind, content=cast("Any", content)
        )
        found.artifacts[name] = str(kept)


def _below(path: PurePosixPath, folders: Sequence[str]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def parsed(result: bytes | None, path: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a result file; raises ``PermanentError`` (``invalid_result``)."""
    if result is None:
        raise PermanentError("invalid_result", f"the command left no file {path}")
    try:
        return strict_json.loads(result)
    except ValueError as error:
        raise PermanentError("invalid_result", f"{path} is no JSON: {error}") from error


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ready = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give as many bytes as were asked for, as far as there are."""
        parts, missing = [], size
        while missing > 0:
            self._ready = self._ready or next(self._pieces, b"")
            if not self._ready:
                break
            parts.append(self._ready[:missing])
            self._ready = self._ready[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)
