"""Which hosts ``ssh.run`` goes through, as its inputs say. Pure; ``~/.ssh/config`` comes later.

A gateway is ``user@host:port`` or an object that has credentials of its own. No
host and no user begins with ``-``, nor holds what a shell or a configuration
would read as something else.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.errors import PermanentError

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}\$?")
_GATEWAY: Final = re.compile(
    r"(?:(?P<user>[^@]*)@)?(?:\[(?P<ipv6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>[0-9]{1,5}))?"
)

_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
PROPERTIES: Final[dict[str, Any]] = {
    "host": {
        "type": "string",
        "description": "A name, an address, or an alias of ~/.ssh/config.",
    },
    "port": _PORT,
    "user": {"type": "string", "description": "~/.ssh/config, else the worker's own."},
    "key_ref": {"type": "string", "description": "Secret: a private key in OpenSSH's form."},
    "password_ref": {"type": "string", "description": "Secret: a password."},
}
"""What is said of each host; all but ``host`` may be left to ``~/.ssh/config``."""

_ONE: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["host"],
            "properties": PROPERTIES,
        },
    ]
}
GATEWAY: Final[dict[str, Any]] = {
    "anyOf": [*_ONE["anyOf"], {"type": "array", "minItems": 1, "maxItems": 8, "items": _ONE}],
    "description": "What is gone through, instead of ~/.ssh/config's ProxyJump: user@host:port, an"
    " object like this one, or a list of them in their order. Without a key of its own a gateway"
    " is shown the step's; never its password.",
}


@dataclass(frozen=True, slots=True)
class Stop:
    """One host on the way, the last being the one itself."""

    host: str
    user: str | None = None
    port: int | None = None
    key_ref: str | None = None
    password_ref: str | None = None


def route(inputs: Mapping[str, Any]) -> list[Stop]:
    """Give the stops in their order; raises ``PermanentError`` (``invalid_inputs``)."""
    given = inputs.get("gateway", [])
    gateways = given if isinstance(given, list) else [given]
    stops = [*map(_gateway, gateways), _stop(inputs)]
    for stop in stops:
        _check(stop)
    key = inputs.get("key_ref")
    return [_with_key(stop, key) for stop in stops]


def jumps(text: str) -> Sequence[Stop]:
    """Read ``ProxyJump`` of ssh's configuration; raises as :func:`route`."""
    names = [name.strip() for name in text.split(",")]
    stops = [] if names == ["none"] else [_gateway(name) for name in names]
    for stop in stops:
        _check(stop)
    return stops


def _gateway(given: str | Mapping[str, Any]) -> Stop:
    if not isinstance(given, str):
        return _stop(given)
    found = _GATEWAY.fullmatch(given.removeprefix("ssh://"))
    if found is None:
        raise PermanentError("invalid_inputs", f"{given!r} is no gateway: user@host:port")
    port = int(found["port"]) if found["port"] else None
    return Stop(found["ipv6"] or found["host"] or "", found["user"], port)


def _stop(given: Mapping[str, Any]) -> Stop:
    return Stop(given["host"], *map(given.get, ("user", "port", "key_ref", "password_ref")))


def _with_key(stop: Stop, key: str | None) -> Stop:
    if key is None or stop.key_ref is not None or stop.password_ref is not None:
        return stop
    return Stop(stop.host, stop.user, stop.port, key)


def _check(stop: Stop) -> None:
    if not _NAME.fullmatch(stop.host) and not _is_ipv6(stop.host):
        message = f"{stop.host!r} is not a host: a name or an address; port and user are said apart"
        raise PermanentError("invalid_inputs", message)
    if stop.user is not None and not _USER.fullmatch(stop.user):
        raise PermanentError("invalid_inputs", f"{stop.user!r} is not a user")
    if stop.port is not None and not 0 < stop.port < 2**16:
        raise PermanentError("invalid_inputs", f"{stop.port} is not a port")


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False
