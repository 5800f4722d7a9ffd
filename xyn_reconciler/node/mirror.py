"""Push desired state and records to other Git servers (``mirror:`` in ``node.yaml``).

A thread of the node process, woken after each batch of records: nothing waits
for it. A server that is away is asked again after ever longer pauses, and the
condition ``Mirrored`` is false until it has everything.
"""

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.node.home import write_private
from xyn_reconciler.record.audit import AUDIT
from xyn_reconciler.record.render import RUNS
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import desired, git_mirror
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository

LOOK_SECONDS: Final = 5.0
"""Between two looks at the refs when nothing was noticed."""
GATHER_SECONDS: Final = 1.0
"""Batches that come within this time are pushed together."""
PUSH_SECONDS: Final = 300.0
"""A push that takes longer is given up, and begun again later."""
LAST_SECONDS: Final = 5.0
"""What the last push may take when the node ends."""
LONGEST_PAUSE: Final = 300.0

_DRAFTS: Final = "refs/heads/draft/"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Target:
    """One server, and how it went."""

    url: str
    there: dict[str, str]
    """What was there after the last push."""
    looked_at: dict[str, str] | None = None
    """What was here when all of it was pushed last."""
    failures: int = 0
    again_at: float = 0.0
    trouble: tuple[str, str] | None = None
    """Reason and message."""

    @property
    def name(self) -> str:
        return git_mirror.without_credentials(self.url)


@dataclass(slots=True)
class _Memory:
    """What was pushed where, over restarts: a file of the home, no truth of anything else."""

    file: Path
    known: dict[str, dict[str, str]] = field(default_factory=dict)

    def load(self) -> None:
        try:
            self.known = json.loads(self.file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.known = {}

    def of(self, url: str) -> dict[str, str]:
        return dict(self.known.get(_key(url), {}))

    def note(self, url: str, there: dict[str, str]) -> None:
        self.known[_key(url)] = there
        write_private(self.file, json.dumps(self.known))


class Mirror:
    """Keeps the servers of ``mirror:`` where this repository is."""

    def __init__(self, database: Database, repository: Repository, memory: Path) -> None:
        """``memory`` is a file of this home that remembers what was pushed."""
        self._database = database
        self._repository = repository
        self._memory = _Memory(memory)
        self._memory.load()
        self._targets: dict[str, _Target] = {}
        self._told: tuple[bool, str, str] | None = None
        self._has_told = False
        self._wake = threading.Event()

    def notice(self) -> None:
        """Say that something was written; returns at once."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Push until ``stop`` is set, and once more then."""
        while not stop.is_set():
            self._try(PUSH_SECONDS)
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            stop.wait(GATHER_SECONDS)
        self._try(LAST_SECONDS)

    def _try(self, seconds: float) -> None:
        try:
            self.look(seconds=seconds)
        except (XynError, OSError) as error:
            _log.warning("the mirror waits: %s", error)
        except Exception:  # noqa: BLE001 - as the next line says
            # A fault of our own costs this round and not the thread: the next one may do.
            _log.exception("the mirror waits")

    def look(self, *, seconds: float = PUSH_SECONDS) -> None:
        """Push what a server lacks, to each that is not to be left alone for now."""
        with self._database.connect() as connection:
            node = desired.read_node(connection)
        urls: list[str] = node.settings.get("mirror", [])
        self._targets = {
            url: self._targets.get(url) or _Target(url, self._memory.of(url)) for url in urls
        }
        if urls:
            ours = self._ours(node.node_id)
            for target in self._targets.values():
                if target.looked_at != ours and time.monotonic() >= target.again_at:
                    self._push(target, ours, seconds)
        self._tell()

    def _ours(self, node_id: str) -> dict[str, str]:
        refs = self._repository.refs("refs/")
        return {
            ref: tip
            for ref, tip in refs.items()
            if ref in {MAIN, f"{AUDIT}{node_id}"} or ref.startswith((_DRAFTS, f"{RUNS}{node_id}/"))
        }

    def _push(self, target: _Target, ours: dict[str, str], seconds: float) -> None:
        path = self._repository.path
        try:
            done = git_mirror.push(path, target.url, ours, target.there, seconds=seconds)
        except (XynError, OSError) as error:
            said = error.message if isinstance(error, XynError) else str(error)
            behind = sum(1 for ref, tip in ours.items() if target.there.get(ref) != tip)
            what = f"{target.name} does not take what is here, {behind} refs are behind: {said}"
            self._fail(target, "Behind", what)
            return
        target.there = done.there
        self._memory.note(target.url, done.there)
        if done.diverged:
            self._fail(
                target,
                "Diverged",
                f"{target.name} has commits that did not come from here, which are left alone: "
                + ", ".join(done.diverged),
            )
            return
        target.looked_at, target.failures, target.trouble = ours, 0, None

    def _fail(self, target: _Target, reason: str, message: str) -> None:
        target.failures += 1
        target.again_at = time.monotonic() + min(2.0**target.failures, LONGEST_PAUSE)
        if target.trouble is None:
            _log.warning("%s", message)
        target.trouble = reason, message

    def _tell(self) -> None:
        """Set the condition where it is another than the last time."""
        now: tuple[bool, str, str] | None = None
        troubles = [each.trouble for each in self._targets.values() if each.trouble is not None]
        if troubles:
            now = False, troubles[0][0], "; ".join(message for _, message in troubles)
        elif self._targets:
            names = ", ".join(each.name for each in self._targets.values())
            now = True, "Pushed", f"everything is at {names}"
        if self._has_told and now == self._told:
            return
        with self._database.begin() as connection:
            if now is None:
                desired.drop_condition(connection, "Mirrored")
            else:
                desired.set_condition(connection, Condition("Mirrored", *now, utc_now()))
        self._told, self._has_told = now, True


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]
