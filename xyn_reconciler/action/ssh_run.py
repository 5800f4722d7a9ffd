"""``ssh.run``: one command on another machine, and nothing of it left there when the step is over.

What ends it over there is in :mod:`.ssh_command`. fabric's own ``run`` is not
used: it keeps the output in memory, in quadratic time.
"""

import contextlib
import select
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.output import Output, output_properties
from xyn_reconciler.action.ssh_command import remote_command
from xyn_reconciler.action.ssh_route import GATEWAY, PROPERTIES
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
        **PROPERTIES,
        "gateway": GATEWAY,
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
        "known_hosts": {
            "type": "string",
            "description": "Lines of known_hosts, which alone count then; else those of the file"
            " known_hosts in the state repository, else those of the worker's machine.",
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

_LEAVING_SECONDS: Final = 5.0
"""How long the other side may take to end the command: less than a worker's patience."""
_DRAIN_SECONDS: Final = 1.0
"""How long output may still come after the command ended: something it started may hold on."""
_ALIVE_SECONDS: Final = 15
"""How often a silent connection is tried, so that nothing on the way forgets it."""
_WINDOW: Final = 1 << 20
"""Bytes that the other side may send ahead of us; they wait in memory."""
_CHUNK: Final = 1 << 16

ERRORS: Final = {
    "invalid_inputs": "A host, a user, a gateway or a word of the command is none.",
    "invalid_known_hosts": "A line of known_hosts in the step is no entry.",
    "invalid_key": "The secret is no private key without a passphrase.",
    "secret_not_found": "There is no such secret on this node.",
    "invalid_secret": "A secret is no text in UTF-8.",
    "egress_denied": "node.yaml does not allow this node to connect there.",
    "host_unresolved": "The name of the host does not resolve; tried again.",
    "invalid_ssh_config": "~/.ssh/config cannot be read, or would run a program (Match exec).",
    "proxy_command_refused": "~/.ssh/config has a ProxyCommand, which would go around egress.",
    "host_key_unknown": "The host shows a key that is not known; the message has the line to add.",
    "host_key_changed": "The host shows another key than the known one; both are named.",
    "auth_failed": "The host does not let us in.",
    "connection": "The host cannot be reached, or the connection broke; tried again.",
    "exit_status": "The command ended with another exit status than 0; its outputs are details.",
}


class SshRun:
    """The action ``ssh.run``."""

    spec = ActionSpec(
        "ssh.run",
        "Run a command on another machine over ssh.",
        INPUT_SCHEMA,
        OUTPUT_SCHEMA,
        idempotent=False,
        shell_inputs=frozenset({"cmd"}),
        capabilities=frozenset({"network", "secrets", "artifacts"}),
        errors=ERRORS,
    )

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Run it and give ``{exit_status, stdout, stderr, ...}``; codes: :data:`ERRORS`."""
        command = remote_command(inputs, context.seconds_left())
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
                channel.exec_command(command)
            status = _status(channel, stdout, stderr, context)
            context.log(f"ssh {inputs['host']}: exit status {status}")
            outputs = {"exit_status": status, **stdout.outputs(), **stderr.outputs()}
        if status != 0:
            message = f"the command ended with exit status {status}"
            raise PermanentError("exit_status", message, details=outputs)
        return outputs


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
