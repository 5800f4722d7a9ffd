"""One-time tickets: the web process says who pushes, the node process's hook believes it.

A ticket goes through git's environment to the hook and back, so it is signed
with a key that only this home's processes read, lives for minutes, and serves
the two hooks of one push.
"""

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xyn_reconciler.model.principal import Principal
from xyn_reconciler.node.home import Home, write_private

LIFETIME: Final = dt.timedelta(minutes=15)
HOOKS_OF_A_PUSH: Final = 2


@dataclass(slots=True)
class Tickets:
    """Issues in one process and redeems in another; both hold the same key."""

    key: bytes
    clock: Callable[[], dt.datetime]
    _used: dict[str, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, home: Home, clock: Callable[[], dt.datetime]) -> "Tickets":
        """Open the home's key (see :func:`ensure_key`)."""
        return cls(_key_file(home).read_bytes(), clock)

    def issue(self, principal: Principal) -> str:
        """Give a ticket that stands for ``principal`` in one push."""
        body = json.dumps(
            {
                "id": principal.id,
                "kind": principal.kind,
                "roles": sorted(principal.roles),
                "teams": sorted(principal.teams),
                "nonce": secrets.token_hex(16),
                "until": (self.clock() + LIFETIME).timestamp(),
            }
        ).encode()
        return f"{base64.urlsafe_b64encode(body).decode()}.{self._sign(body)}"

    def redeem(self, ticket: str) -> Principal | None:
        """Give who it stands for; ``None`` if it is not ours, too old, or was used up."""
        encoded, _, signature = ticket.partition(".")
        try:
            body = base64.urlsafe_b64decode(encoded.encode())
        except ValueError:
            return None
        if not hmac.compare_digest(self._sign(body).encode(), signature.encode()):
            return None
        found = json.loads(body)
        if not self._use(found["nonce"], found["until"]):
            return None
        return Principal(
            found["id"],
            kind=found["kind"],
            roles=frozenset(found["roles"]),
            teams=frozenset(found["teams"]),
        )

    def _use(self, nonce: str, until: float) -> bool:
        now = self.clock().timestamp()
        with self._lock:
            self._used = {n: use for n, use in self._used.items() if use[1] > now}
            times, _ = self._used.get(nonce, (0, until))
            if times >= HOOKS_OF_A_PUSH or until <= now:
                return False
            self._used[nonce] = (times + 1, until)
            return True

    def _sign(self, body: bytes) -> str:
        return hmac.new(self.key, body, hashlib.sha256).hexdigest()


def ensure_key(home: Home) -> None:
    """Write a key unless there is one: roles that are started apart share it."""
    if not _key_file(home).exists():
        write_private(_key_file(home), secrets.token_hex(32))


def _key_file(home: Home) -> Path:
    return home.run / "ticket.key"
