"""What a command prints, however much it is: live, its beginning and its end, the whole in a file.

Memory holds at most some multiples of ``keep``, whatever comes. The file is
made only where the outputs cannot hold it all.
"""

import codecs
import tempfile
from typing import IO, Any, Final, Self, cast

from xyn_reconciler.action.context import ActionContext

KEEP: Final = 65_536
"""Bytes of one stream that stand in the outputs: half of it the beginning, half the end."""
_BEYOND: Final = 16_384
"""Bytes beyond a cut that are looked at, so that no half of a secret stays; none is longer."""


class Output:
    """One stream of bytes, taken in piece by piece."""

    def __init__(self, name: str, context: ActionContext, *, keep: int = KEEP) -> None:
        self.name = name
        self.length = 0
        self._context = context
        self._half = keep // 2
        self._held = self._half + _BEYOND
        self._head = bytearray()
        self._tail = bytearray()
        self._file: IO[bytes] | None = None
        if context.artifact is not None:
            self._file = tempfile.SpooledTemporaryFile(max_size=keep)  # noqa: SIM115 - closed in __exit__
        self._room = context.artifact_max
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def take(self, chunk: bytes) -> None:
        self.length += len(chunk)
        self._context.live(self._decoder.decode(chunk))
        if self._file is not None and self._room > 0:
            self._file.write(chunk[: self._room])
            self._room -= len(chunk)
        missing = self._held - len(self._head)
        self._head += chunk[: max(missing, 0)]
        self._tail += chunk[max(missing, 0) :]
        if len(self._tail) > 4 * self._held:
            del self._tail[: -self._held]

    @property
    def cut(self) -> bool:
        """Whether :meth:`text` leaves something out."""
        return self.length > 2 * self._half

    def text(self) -> str:
        if not self.cut:
            return (self._head + self._tail).decode("utf-8", "replace")
        if self.length == len(self._head) + len(self._tail):
            whole = self._clean(self._head + self._tail)
            head, tail = whole[: self._half], whole[-self._half :]
        else:
            # Not the outer end, where a secret may be cut in two already.
            head = self._clean(self._head)[:-_BEYOND][: self._half]
            tail = self._clean(self._tail[-self._held :])[_BEYOND:][-self._half :]
        left_out = b"\n[... %d bytes left out ...]\n" % (self.length - 2 * self._half)
        return (head + left_out + tail).decode("utf-8", "replace")

    def _clean(self, part: bytes | bytearray) -> bytes:
        """Without secrets; byte by byte the same elsewhere."""
        text = part.decode("utf-8", "surrogateescape")
        clean = self._context.redact(text)
        return bytes(part) if clean == text else clean.encode("utf-8", "surrogateescape")

    def _end_cleanly(self, file: IO[bytes]) -> None:
        """Leave out the end of what was cut: half a secret there is not known any more."""
        file.seek(max(file.tell() - 2 * _BEYOND, 0))
        at = file.tell()
        end = self._clean(file.read())
        file.seek(at)
        file.truncate()
        file.write(end[:-_BEYOND])

    def outputs(self) -> dict[str, Any]:
        """Give ``{<name>, <name>_bytes}``, and ``<name>_artifact`` where the whole was kept.

        The artifact ends a little before one may not be larger.
        """
        found: dict[str, Any] = {self.name: self.text(), f"{self.name}_bytes": self.length}
        if self.cut and self._file is not None and self._context.artifact is not None:
            if self._room < 0:
                self._end_cleanly(self._file)
            self._file.seek(0)
            kept = self._context.artifact(
                name=f"{self.name}.txt",
                kind="output",
                content_type="text/plain; charset=utf-8",
                content=cast("Any", self._file),
            )
            found[f"{self.name}_artifact"] = str(kept)
        return found


def output_properties(name: str) -> dict[str, Any]:
    """The JSON Schema of what :meth:`Output.outputs` gives."""
    return {
        name: {
            "type": "string",
            "description": f"The first and last {KEEP // 2} bytes, as text.",
        },
        f"{name}_bytes": {"type": "integer", "description": "How many there were."},
        f"{name}_artifact": {"type": "string", "description": "The whole, where it was cut."},
    }
