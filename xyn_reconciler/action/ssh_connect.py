"""Log in to a host: fabric reads the configuration, every hop shows a known key.

Imported when the first ``ssh.run`` runs, since fabric and paramiko take a
second to load. Configuration is ``~/.ssh/config`` of the worker's user (host
aliases, user, port, identities, ``ProxyJump``) and nothing of fabric's own.
The first hop is connected to through the egress rule; a ``ProxyCommand``
would go around it and is refused.
"""

import contextlib
import io
import ipaddress
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import fabric
from paramiko import (
    BadHostKeyException,
    ECDSAKey,
    Ed25519Key,
    PasswordRequiredException,
    PKey,
    RSAKey,
    SSHClient,
    SSHException,
    Transport,
)
from paramiko.ssh_exception import AuthenticationException

from xyn_reconciler.action.connection import Dialer
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.egress import parse_rule, permitted
from xyn_reconciler.action.known_hosts import KnownHosts, changed, read_files
from xyn_reconciler.action.ssh_config import configuration, invalid
from xyn_reconciler.action.ssh_route import Stop, jumps, route
from xyn_reconciler.action.watch import ended_by
from xyn_reconciler.model.errors import PermanentError, TemporaryError

# What it tells its log, traces and all, it raises too.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_KEYS: Final[tuple[type[PKey], ...]] = (Ed25519Key, ECDSAKey, RSAKey)


class Hop(Protocol):
    """What is used of ``fabric.Connection``, with its types."""

    host: str
    port: int
    user: str
    client: SSHClient
    transport: Transport
    connect_kwargs: dict[str, Any]
    connect_timeout: float | None
    ssh_config: Mapping[str, str]

    def open(self) -> object: ...


@contextlib.contextmanager
def logged_in(inputs: Mapping[str, Any], context: ActionContext) -> Iterator[Hop]:
    """Give an open connection; closed with the context."""
    known = _known(inputs.get("known_hosts"), context)
    hops = _hops(route(inputs), context)
    _check_behind(hops, context.egress)
    first = Dialer(context).dial(hops[0].host, hops[0].port)
    try:
        hops[0].connect_kwargs["sock"] = first
        for hop in hops:
            known.apply(hop.client)
            seconds = max(context.seconds_left(), 0.1)
            hop.connect_timeout = None
            for name in ("timeout", "banner_timeout", "auth_timeout", "channel_timeout"):
                hop.connect_kwargs[name] = seconds
        with ended_by(context, lambda: _shut(first)):
            for hop in hops:
                # One after another, so that the one that refuses is the one that is named.
                with translated(hop):
                    hop.open()
        yield hops[-1]
    finally:
        for hop in reversed(hops):
            hop.client.close()
        first.close()


def _known(given: str | None, context: ActionContext) -> KnownHosts:
    """The step's own lines alone, else the repository's, else this machine's."""
    if given is not None:
        return KnownHosts(given, strict=True)
    return KnownHosts(context.known_hosts or read_files(), strict=False)


def _hops(stops: Sequence[Stop], context: ActionContext) -> list[Hop]:
    """Give the connections in the order they are made; the last is the host itself."""
    config = configuration()
    hops: list[Hop] = []
    try:
        if len(stops) == 1:
            asked: Mapping[str, str] = cast("Any", config).base_ssh_config.lookup(stops[0].host)
            stops = [*jumps(asked.get("proxyjump", "none")), *stops]
        for stop in stops:
            hops.append(_connection(stop, config, hops, context))
    except (SSHException, ValueError) as error:
        raise invalid(f"for {stops[-1].host}", error) from error
    return hops


def _connection(
    stop: Stop, config: fabric.Config, before: Sequence[Hop], context: ActionContext
) -> Hop:
    gateway = before[-1] if before else False
    # connect_kwargs is a dictionary of its own: fabric would share one among all connections.
    made = fabric.Connection(
        stop.host,
        user=stop.user,
        port=stop.port,
        config=config,
        gateway=gateway,
        forward_agent=False,
        connect_kwargs={"allow_agent": True, "look_for_keys": True},
    )
    connection = cast("Hop", made)
    if not 0 < connection.port < 2**16:
        raise invalid(f"for {stop.host}", f"{connection.port} is not a port")
    if connection.ssh_config.get("proxycommand", "none") != "none":
        message = f"the ProxyCommand for {stop.host} goes around the egress rule; use ProxyJump"
        raise PermanentError("proxy_command_refused", message)
    # As ssh does: a key of its configuration that is not there is passed over.
    keys = connection.connect_kwargs.get("key_filename") or []
    connection.connect_kwargs["key_filename"] = [key for key in keys if Path(key).exists()]
    _set_credentials(connection, stop, context)
    return connection


def _check_behind(hops: Sequence[Hop], allow: Sequence[str]) -> None:
    """Ask the egress rule of the hosts that a gateway, not this node, connects to.

    Their names are resolved over there, so a name has to be allowed as one.
    """
    for hop in hops[1:]:
        try:
            address = ipaddress.ip_address(hop.host)
        except ValueError:
            name = hop.host.lower().rstrip(".")
            nowhere = ipaddress.IPv4Address("0.0.0.0")  # noqa: S104 - no address that a rule names
            rules = [rule for rule in map(parse_rule, allow) if rule.name is not None]
            if not any(rule.covers(name, nowhere, hop.port) for rule in rules):
                permitted(hop.host, hop.port, [nowhere], ())
        else:
            permitted(hop.host, hop.port, [address], allow)


def _set_credentials(hop: Hop, stop: Stop, context: ActionContext) -> None:
    """Have only what was referred to be tried, where something was."""
    if stop.key_ref is None and stop.password_ref is None:
        return
    hop.connect_kwargs.pop("key_filename", None)
    hop.connect_kwargs |= {"allow_agent": False, "look_for_keys": False}
    if stop.key_ref is not None:
        hop.connect_kwargs["pkey"] = _key(context.credential(stop.key_ref), stop.key_ref)
    if stop.password_ref is not None:
        hop.connect_kwargs["password"] = context.credential(stop.password_ref)


def _key(text: str, reference: str) -> PKey:
    for kind in _KEYS:
        with contextlib.suppress(Exception):  # paramiko breaks in many ways on what is no key
            return kind.from_private_key(io.StringIO(text.strip() + "\n"))
    message = f"{reference} is no private key without a passphrase (Ed25519, ECDSA or RSA)"
    raise PermanentError("invalid_key", message)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def translated(connection: Hop) -> Iterator[None]:
    """Say in codes of ours what paramiko raises."""
    where = f"{connection.user}@{connection.host}:{connection.port}"
    try:
        yield
    except BadHostKeyException as error:
        raise changed(error.hostname, error.key, [error.expected_key]) from error
    except (AuthenticationException, PasswordRequiredException) as error:
        message = f"{where} does not let us in: {error}"
        raise PermanentError("auth_failed", message) from error
    except SSHException as error:
        if "No authentication methods" in str(error):
            message = f"no key or password for {where}: name one with key_ref or in ~/.ssh/config"
            raise PermanentError("auth_failed", message) from error
        raise TemporaryError("connection", f"ssh to {where} failed: {error}") from error
    except (OSError, EOFError) as error:
        raise TemporaryError("connection", f"ssh to {where} failed: {error}") from error
