"""aimock: OpenAI's and Anthropic's APIs on a port of this machine; a test writes the answers."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.neighbours import neighbour
from tests.running import answers, free_port, wait_for


@dataclass(frozen=True)
class Aimock:
    """A running one; for OpenAI's SDK the address ends in ``/v1``."""

    url: str

    def seen(self) -> list[dict[str, Any]]:
        """The requests it got: ``path``, ``headers`` and ``body`` of each."""
        answer = httpx2.get(f"{self.url}/__aimock/journal", trust_env=False)
        found = answer.json()
        entries: list[dict[str, Any]] = found if isinstance(found, list) else found["entries"]
        return entries


@contextlib.contextmanager
def aimock(folder: Path, fixtures: Sequence[Mapping[str, Any]]) -> Iterator[Aimock]:
    """Run one that answers as ``fixtures`` say: ``{match, response}``, the first that fits."""
    program = neighbour("llmock", "aimock")
    file = folder / "fixtures.json"
    file.write_text(json.dumps({"fixtures": list(fixtures)}))
    port = free_port()
    with (folder / "aimock.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--port", str(port), "--fixtures", file, "--strict"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/health") or process.poll() is not None)
        assert process.poll() is None, (folder / "aimock.log").read_text()
        yield Aimock(url)
    finally:
        process.terminate()
        process.wait(10)
