"""Other durable engines, measured in the same rounds: only where they are installed for it.

``make bench PEERS=1`` gives them an environment of their own, so that nothing of
theirs reaches Xyn's. Each is a module that its own Python runs:
``python -m bench.peer_dbos prepare|submit PREFIX COUNT|work``.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.engine_side import crowd_rate
from bench.place import BenchError, Child, Place
from bench.stamps import Stamps

_PREPARE_SECONDS: Final = 60.0
_VERSION: Final = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"

KNOWN: Final = (
    ("DBOS", "dbos", "bench.peer_dbos", "its queue, its defaults but for polling every 10 ms"),
    ("Absurd", "absurd-sdk", "bench.peer_absurd", "ten at a time, asyncio, polling every 10 ms"),
)


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them, on a database of its own."""

    name: str
    title: str
    module: str
    how: str
    python: str
    place: Place
    environment: dict[str, str] = field(default_factory=dict)

    def rate(self, stamps: Stamps, count: int, prefix: str) -> float:
        runs = [f"{prefix}-{number}" for number in range(count)]

        def pile_up(_: Sequence[str]) -> None:
            self.finish("submit", prefix, str(count))

        return crowd_rate(stamps, runs, pile_up, [self._start_worker])

    def finish(self, *arguments: str) -> None:
        """Run its module to the end."""
        child = self.place.start(self.module, *arguments, python=self.python, **self.environment)
        try:
            status = child.process.wait(_PREPARE_SECONDS)
        except subprocess.TimeoutExpired:
            status = -1
        if status != 0:
            raise BenchError(f"{self.name} {arguments[0]} ended with {status}:\n{child.said()}")

    def _start_worker(self) -> Child:
        return self.place.start(self.module, "work", python=self.python, **self.environment)


def open_peers(place: Place, stamps: Stamps, python: str) -> list[Peer]:
    """Make a database for each, with its tables."""
    peers = []
    for name, package, module, how in KNOWN:
        version = subprocess.run(
            [python, "-c", _VERSION, package], capture_output=True, text=True, check=False
        )
        if version.returncode != 0:
            raise BenchError(f"{package} is not installed there: make bench PEERS=1 installs it")
        environment = {"DATABASE_URL": place.database(package), **stamps.environment}
        title = f"{name} {version.stdout.strip()}"
        peer = Peer(name, title, module, how, python, place, environment)
        place.say(f"preparing {title}")
        peer.finish("prepare")
        peers.append(peer)
    return peers
