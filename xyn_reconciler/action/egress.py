"""Where a node may connect to: the public network, and what ``egress.allow`` names besides.

A name is resolved once and the connection goes to exactly the addresses that
were checked, so nobody can answer differently the second time (DNS rebinding).
The table is our own: ``ipaddress.is_global`` differs between Python versions.
Checked when a step runs, never at push.
"""

import functools
import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.errors import PermanentError, TemporaryError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_GLOBAL_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local and cloud metadata, RFC 3927
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT, RFC 7450
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112
    )
)

_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
"""The only part of IPv6 that is handed out as global unicast (RFC 4291, IANA)."""

_NOT_GLOBAL_6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments with Teredo, RFC 2928
        "2001:db8::/32",  # documentation, RFC 3849
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    )
)

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4: Final = ipaddress.IPv6Network("2002::/16")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
"""Upper half of an interface id that carries an IPv4 address (RFC 5214, section 6.1)."""


def is_global(address: Address) -> bool:
    """Whether an address is on the public network, also by the IPv4 address inside of it."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_4)
    if address.ipv4_mapped is not None:
        return is_global(address.ipv4_mapped)
    if address in _NAT64:
        return is_global(_lower_half(address))
    if address not in _GLOBAL_6 or any(address in network for network in _NOT_GLOBAL_6):
        return False
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP and not is_global(_lower_half(address)):
        return False
    return address not in _6TO4 or is_global(
        ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    )


def _lower_half(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


# ── what node.yaml allows ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of ``egress.allow``: a network or a name (with ``*.``), and perhaps a port."""

    network: Network | None
    name: str | None
    port: int | None

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Whether a connection to ``address``, asked for as ``host``, is allowed."""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return _plain(address) in self.network
        name = self.name or ""
        if name.startswith("*."):
            return host.endswith(name[1:])
        return host == name


_WITH_PORT: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d{1,5})")


@functools.lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """Read an entry: ``10.20.0.0/16``, ``[::1]:9093``, ``*.corp.example.net:443``."""
    match = _WITH_PORT.fullmatch(text)
    host, port = (match["host"], int(match["port"])) if match else (text, None)
    host = host.removeprefix("[").removesuffix("]")
    try:
        return Rule(ipaddress.ip_network(host, strict=False), None, port)
    except ValueError:
        return Rule(None, host.lower().rstrip("."), port)


def _plain(address: Address) -> Address:
    """An IPv4 address in IPv6 dress is meant by rules for the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def line_to_add(allow: Sequence[str], host: str, port: int) -> str:
    """Give the line of ``node.yaml`` that lets a connection through, the present entries kept."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    entries = ", ".join(f'"{entry}"' for entry in (*allow, shown))
    return f"egress: {{allow: [{entries}]}}"


def permitted(
    host: str, port: int, addresses: Sequence[Address], allow: Sequence[str]
) -> list[Address]:
    """Give the addresses that may be connected to, in their order.

    Raises ``PermanentError`` with code ``egress_denied`` where none may.
    """
    name = host.lower().rstrip(".")
    rules = [parse_rule(text) for text in allow]
    found = [
        address
        for address in addresses
        if is_global(address) or any(rule.covers(name, address, port) for rule in rules)
    ]
    if not found:
        line = line_to_add(allow, name, port)
        shown = ", ".join(map(str, addresses))
        raise PermanentError(
            "egress_denied",
            f"{host}:{port} is not on the public network ({shown});"
            f" to allow it, write in node.yaml: {line}",
            details={"host": host, "port": port, "add": line},
        )
    return found


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def resolve(host: str, port: int, *, timeout: float) -> list[Address]:
    """Give the addresses of a host, once.

    Raises ``TemporaryError`` with code ``host_unresolved``, or ``timeout``.
    """
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    answers: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()
    # getaddrinfo cannot be stopped, only left behind.
    threading.Thread(target=_look_up, args=(host, port, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout, 0.0))
    except queue.Empty:
        raise TemporaryError("timeout", f"the name {host} was not resolved in time") from None
    if isinstance(answer, OSError) or not answer:
        raise TemporaryError("host_unresolved", f"the name {host} does not resolve")
    return answer


def _look_up(host: str, port: int, answers: "queue.SimpleQueue[list[Address] | OSError]") -> None:
    try:
        answers.put(list(_distinct(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))))
    except (OSError, UnicodeError) as error:
        answers.put(error if isinstance(error, OSError) else OSError(str(error)))


def _distinct(found: Sequence[tuple[Any, ...]]) -> Iterator[Address]:
    seen = set()
    for *_, where in found:
        text = str(where[0]).partition("%")[0]
        if text not in seen:
            seen.add(text)
            yield ipaddress.ip_address(text)
