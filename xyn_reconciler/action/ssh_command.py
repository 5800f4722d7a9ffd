"""The line that a remote shell is given, so that nothing of the command outlives the step.

The command runs below ``timeout`` and beside a watcher that waits for the end
of its standard input: whether the step is cancelled, times out, or this whole
node dies, the connection ends and the watcher ends the command. Whatever it
started in its session goes too, also what ignores TERM or is in a process group
of its own; what ends by itself may leave something behind, on purpose.

The trap: the other side is any POSIX shell. The session is looked for in
``/proc``; where there is none, ``timeout`` ends its own process group alone.
"""

import math
import shlex
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.model.errors import PermanentError

LONGEST: Final = 131_071
"""Bytes of the line, which is one argument of the login shell: Linux takes no longer one."""
KILL_AFTER: Final = 2
"""Seconds between asking the command to end and ending it."""

# $1: seconds; the rest is the command. File descriptor 3 is the connection's standard input, on
# which nothing ever comes but its end. sshd makes this shell the leader of a session.
# The watcher says 7 where it saw that end, also when the command is over before it can say so.
_SCRIPT: Final = f"""
sweep() {{
  for f in /proc/[0-9]*/stat; do
    {{ read -r l <"$f"; }} 2>/dev/null || continue
    q=${{f%/stat}}; q=${{q#/proc/}}; set -- ${{l##*) }}
    if [ "$4" = "$$" ] && [ "$q" != "$$" ]; then kill -KILL "$q" 2>/dev/null; fi
  done
}}
t=$1; shift; exec 3<&0
timeout -k {KILL_AFTER} "$t" "$@" </dev/null 3<&- & p=$!
(read -r _ <&3; trap '' TERM; kill -TERM "$p"; exit 7) >/dev/null 2>&1 & w=$!
wait "$p"; s=$?
kill "$w" 2>/dev/null; wait "$w" 2>/dev/null
if [ $? = 7 ] || [ "$s" = 124 ] || [ "$s" = 137 ]; then sweep; fi
exit "$s"
"""


def remote_command(inputs: Mapping[str, Any], seconds: float) -> str:
    """Give the line that sshd hands to the user's login shell.

    Raises ``PermanentError`` (``invalid_inputs``) for what a tool on the way could read as
    something else, or cannot take.
    """
    if "argv" in inputs:
        command = [str(word) for word in inputs["argv"]]
    else:
        command = ["sh", "-c", inputs["cmd"]]
    if not command[0] or command[0].startswith("-"):
        message = f"{command[0]!r} is not a program: a name that begins with - is read as an option"
        raise PermanentError("invalid_inputs", message)
    # The other side's clock is the second belt: ours, and the watcher, come first.
    most = math.ceil(max(seconds, 0.0)) + KILL_AFTER
    line = shlex.join(["exec", "sh", "-c", _SCRIPT, "xyn", str(most), *command])
    try:
        length = len(line.encode())
    except UnicodeEncodeError as error:
        message = "a command cannot hold half a surrogate pair, which is no character"
        raise PermanentError("invalid_inputs", message) from error
    if "\0" in line:
        raise PermanentError("invalid_inputs", "a command cannot hold the character NUL")
    if length > LONGEST:
        message = (
            f"the command and what ends it over there have {length:,} bytes quoted, {LONGEST:,} are"
            " possible: have it fetch what is long"
        )
        raise PermanentError("invalid_inputs", message)
    return line
