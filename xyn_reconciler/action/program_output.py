"""What a program of a pack prints, taken in piece by piece and bounded, whatever comes.

Standard output is the answer, standard error is the log: each line goes there as it comes, and
with it to whoever watches.
"""

from dataclasses import dataclass
from typing import Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import PermanentError

MOST_OUTPUT: Final = 4_000_000
"""Bytes on standard output: more is no answer (expressions hold no larger value)."""
MOST_LOG: Final = 65_536
"""Bytes of standard error that stay in the run's log; what follows is only shown live."""
_LAST: Final = 2048
"""Characters of standard error that are told with a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    status: int
    """Its exit status; minus the number of the signal that ended it."""
    stdout: bytes
    said: str
    """The end of what it wrote to standard error."""


class Printed:
    """Both streams of one program."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context
        self._stdout = bytearray()
        self._line = bytearray()
        self._room = MOST_LOG
        self._left_out = 0
        self._goes_on = False
        """Whether what comes is the rest of a line that was too long for the log."""
        self._last = bytearray()

    def answer(self, chunk: bytes) -> None:
        """Take in standard output; raises ``output_too_large``."""
        self._stdout += chunk
        if len(self._stdout) > MOST_OUTPUT:
            message = f"the program printed more than {MOST_OUTPUT:,} bytes; keep them in a file"
            raise PermanentError("output_too_large", message)

    def say(self, chunk: bytes) -> None:
        """Take in standard error."""
        self._last += chunk
        if len(self._last) > 2 * MOST_LOG:
            del self._last[:-MOST_LOG]
        self._line += chunk
        *lines, rest = self._line.split(b"\n")
        for line in lines:
            self._log(bytes(line), "\n")
        self._line = bytearray(rest)
        if len(rest) > MOST_LOG:
            # Without an end of ours: it would stand in the middle of a secret, which hides it.
            self._log(bytes(rest), "")
            self._line.clear()

    def _log(self, line: bytes, end: str) -> None:
        text = line.decode("utf-8", "replace")
        beginning_left_out, self._goes_on = self._goes_on, not end
        if beginning_left_out or len(line) > self._room:
            self._left_out += len(line)
            self._context.live(f"{text}{end}")
            return
        self._room -= len(line)
        self._context.log(text)

    def ended(self, status: int) -> Ended:
        """Say what is left to say, and how it ended."""
        if self._line:
            self._log(bytes(self._line), "\n")
        if self._left_out:
            self._context.log(f"[... {self._left_out} bytes of standard error left out ...]")
        # Redacted before it is cut: half a secret is not known any more.
        said = self._context.redact(self._last.decode("utf-8", "replace"))[-_LAST:].strip()
        return Ended(status=status, stdout=bytes(self._stdout), said=said)
