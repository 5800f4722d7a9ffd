"""Take a home and a port for one start, before anything heavy is imported or made.

``xynctl up`` relies on it: what is in the way (another node, a busy port, a
folder that cannot be written) is told within a fraction of a second.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xyn_reconciler.node.home import ALL, Home
from xyn_reconciler.node.port import check_port
from xyn_reconciler.node.supervise import end_leftovers

LOOPBACK: Final = "127.0.0.1"
_NEAR: Final = frozenset({"::1", "localhost", LOOPBACK})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``up`` was asked for; ``role`` is ``all`` or one of :data:`.home.ROLES`."""

    home: Path
    port: int
    host: str = LOOPBACK
    role: str = ALL

    @property
    def url(self) -> str:
        """Where this machine reaches the node."""
        if self.host in _NEAR | _EVERYWHERE:
            return f"http://{LOOPBACK}:{self.port}"
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def serves(self) -> bool:
        return self.role in {ALL, "web"}


@contextlib.contextmanager
def claimed(
    settings: Settings, environment: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[Home]:
    """Hold the home for as long as the context lasts, ridden of what a killed start left.

    Raises ``ConflictError`` that names the owner where the home is in use or
    the port busy, ``InvalidError`` where others could reach the node unasked.
    """
    if settings.serves and settings.host not in _NEAR:
        # The web process asks it too; here it is told before anything is made. By name, because
        # nothing below the pages imports them.
        settle = importlib.import_module("flask_ui.access").settle
        settle(settings.host, environment, url=settings.url, gateway=None)
    home = Home(settings.home.resolve())
    home.create()
    with home.lock(settings.role):
        for name in end_leftovers(home):
            say(f"ended the {name} process of a start that was killed")
        if settings.serves:
            check_port(settings.port)
        yield home
