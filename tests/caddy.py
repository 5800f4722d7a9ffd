"""A real Caddy for tests: with its admin API and nothing else, and what it keeps in a folder."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.neighbours import neighbour
from tests.running import answers, free_port, wait_for


@dataclass(frozen=True)
class Caddy:
    """Where it answers."""

    admin: str
    http: str
    """Host and port that are free for it to listen on."""
    https: str


@contextmanager
def caddy(folder: Path) -> Iterator[Caddy]:
    """Start one without any configuration but that of its admin API."""
    program = neighbour("caddy", "caddy")
    found = Caddy(*(f"127.0.0.1:{free_port()}" for _ in range(3)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    environment |= {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("DATA", "CONFIG")}
    (folder / "caddy.json").write_text(json.dumps({"admin": {"listen": found.admin}}))
    with (
        (folder / "caddy.log").open("w") as log,
        subprocess.Popen(
            [program, "run", "--config", "caddy.json"], cwd=folder, env=environment, stderr=log
        ) as process,
    ):
        try:
            wait_for(lambda: answers(f"http://{found.admin}/config/"))
            yield found
        finally:
            process.terminate()
