"""``ssh.run``: one command on another machine, and nothing of it left there when the step is over.

The command runs below ``timeout`` and beside a watcher that waits for the end
of its standard input: whether the step is cancelled, times out, or this whole
node dies, the connection ends and the watcher ends the command. fabric's own
``run`` is not used: it keeps the output in memory, in quadratic time.
"""

import contextlib
import math
import re
import select
import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.output import Output, output_properties
from xyn_reconciler.action.watch import SLICE_SECONDS, over
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from paramiko import Channel

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["host"],
    "oneOf": [{"required": ["argv"]}, {"required": ["cmd"]}],
    "properties": {
        "host": {
            "type": "string",
            "description": "A name, an address, or an alias of ~/.ssh/config.",
        },
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "user": {"type": "string", "description": "~/.ssh/config, else the worker's own."},
        "argv": {
            "type": "array",
            "minItems": 1,
            "items": {"type": ["string", "number"]},
            "description": "The program and its arguments; no shell reads them.",
        },
        "cmd": {
            "type": "string",
            "minLength": 1,
            "description": "A command line for sh; what is interpolated is quoted.",
        },
        "key_ref": {"type": "string", "description": "Secret: a private key in OpenSSH's form."},
        "password_ref": {"type": "string", "description": "Secret: a password."},
        "known_hosts": {
            "type": "string",
            "description": "Lines of known_hosts; they alone count then.",
        },
    },
}

OUTPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["exit_status", "stdout", "stdout_bytes", "stderr", "stderr_bytes"],
    "properties": {
        "exit_status": {"type": "integer"},
        **output_properties("stdout"),
        **output_properties("stderr"),
    },
}

_HOST: Final = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:-]{0,252}")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}\$?")

KILL_AFTER: Final = 2
"""Seconds between asking the command to end and ending it."""
_LEAVING_SECONDS: Final = 5.0
"""How long the other side may take to end the command: less than a worker's patience."""
_DRAIN_SECONDS: Final = 1.0
"""How long output may still come after the command ended: something it started may hold on."""
_ALIVE_SECONDS: Final = 15
"""How often a silent connection is tried, so that nothing on the way forgets it."""
_WINDOW: Final = 1 << 20
"""Bytes that the other side may send ahead of us; they wait in memory."""
_CHUNK: Final = 1 << 16

# $1: seconds; the rest is the command. File descriptor 3 is the connection's standard input, on
# which nothing ever comes but its end.
_SCRIPT: Final = f"""
t=$1; shift; exec 3<&0
timeout -k {KILL_AFTER} "$t" "$@" </dev/null 3<&- & p=$!
(read -r _ <&3; kill -TERM "$p") >/dev/null 2>&1 & w=$!
wait "$p"; s=$?
kill "$w" 2>/dev/null
exit "$s"
"""


class SshRun:
    """The action ``ssh.run``."""

    spec = ActionSpec(
        "ssh.run",
        "Run a command on another machine over ssh.",
        INPUT_SCHEMA,
        OUTPUT_SCHEMA,
        idempotent=False,
        shell_inputs=frozenset({"cmd"}),
    )

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Run it and give ``{exit_status, stdout, stderr, ...}``.

        Codes: ``invalid_inputs``, ``invalid_known_hosts``, ``invalid_key``,
        ``secret_not_found``, ``egress_denied``, ``host_unresolved``,
        ``proxy_command_refused``, ``host_key_unknown``, ``host_key_changed``,
        ``auth_failed``, ``connection``, ``timeout``, ``cancelled``, ``exit_status``.
        """
        _check(inputs)
        from xyn_reconciler.action.ssh_connect import (  # noqa: PLC0415 - paramiko takes a second
            logged_in,
            translated,
        )

        with (
            logged_in(inputs, context) as connection,
            Output("stdout", context) as stdout,
            Output("stderr", context) as stderr,
        ):
            with translated(connection):
                connection.transport.set_keepalive(_ALIVE_SECONDS)
                channel = connection.transport.open_session(
                    window_size=_WINDOW, timeout=max(context.seconds_left(), 0.1)
                )
                channel.exec_command(remote_command(inputs, context.seconds_left()))
            status = _status(channel, stdout, stderr, context)
            context.log(f"ssh {inputs['host']}: exit status {status}")
            outputs = {"exit_status": status, **stdout.outputs(), **stderr.outputs()}
        if status != 0:
            message = f"the command ended with exit status {status}"
            raise PermanentError("exit_status", message, details=outputs)
        return outputs


def _check(inputs: Mapping[str, Any]) -> None:
    """Refuse what a tool on the way could read as something else."""
    if not _HOST.fullmatch(inputs["host"]):
        raise PermanentError("invalid_inputs", f"{inputs['host']!r} is not a host")
    if "user" in inputs and not _USER.fullmatch(inputs["user"]):
        raise PermanentError("invalid_inputs", f"{inputs['user']!r} is not a user")
    words = [str(word) for word in inputs.get("argv", [inputs.get("cmd", "")])]
    if any("\0" in word for word in words):
        raise PermanentError("invalid_inputs", "a command cannot hold the character NUL")
    if "argv" in inputs and (not words[0] or words[0].startswith("-")):
        message = f"{words[0]!r} is not a program: a name that begins with - is read as an option"
        raise PermanentError("invalid_inputs", message)


def remote_command(inputs: Mapping[str, Any], seconds: float) -> str:
    """Give the line that sshd hands to the user's login shell."""
    if "argv" in inputs:
        command = [str(word) for word in inputs["argv"]]
    else:
        command = ["sh", "-c", inputs["cmd"]]
    # The other side's clock is the second belt: ours, and the watcher, come first.
    most = math.ceil(max(seconds, 0.0)) + KILL_AFTER
    return shlex.join(["exec", "sh", "-c", _SCRIPT, "xyn", str(most), *command])


def _status(channel: "Channel", stdout: Output, stderr: Output, context: ActionContext) -> int:
    """Take the output in until the command has ended; its exit status."""
    ready = select.poll()
    ready.register(channel.fileno(), select.POLLIN)
    quiet_since = time.monotonic()
    while True:
        reason = over(context)
        if reason is not None:
            _leave(channel)
            raise reason
        if _taken(channel, stdout, stderr):
            quiet_since = time.monotonic()
            continue
        held = channel.exit_status_ready() and time.monotonic() - quiet_since > _DRAIN_SECONDS
        # The end is looked for before what came ahead of it, so that nothing is missed.
        if (channel.closed or held) and not _taken(channel, stdout, stderr):
            break
        # Once the end of the output has come the descriptor is always ready.
        if channel.eof_received:
            channel.status_event.wait(SLICE_SECONDS)
            if channel.exit_status_ready() and not _taken(channel, stdout, stderr):
                break
        else:
            ready.poll(SLICE_SECONDS * 1000)
    if not channel.exit_status_ready() or channel.exit_status < 0:
        raise TemporaryError("connection", "the connection ended before the command did")
    return int(channel.exit_status)


def _taken(channel: "Channel", stdout: Output, stderr: Output) -> bool:
    """Take in what is there; whether there was anything."""
    found = False
    if channel.recv_ready():
        stdout.take(channel.recv(_CHUNK))
        found = True
    if channel.recv_stderr_ready():
        stderr.take(channel.recv_stderr(_CHUNK))
        found = True
    return found


def _leave(channel: "Channel") -> None:
    """End the standard input, which ends the command, and wait until it has ended."""
    with contextlib.suppress(OSError, EOFError):  # It may have ended by itself.
        channel.shutdown_write()
    until = time.monotonic() + _LEAVING_SECONDS
    while not channel.exit_status_ready() and time.monotonic() < until:
        # A command that is stuck in writing does not notice that it should end.
        while channel.recv_ready():
            channel.recv(_CHUNK)
        while channel.recv_stderr_ready():
            channel.recv_stderr(_CHUNK)
        channel.status_event.wait(0.05)
