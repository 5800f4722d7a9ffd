"""Upkeep of the state repository by the git program: repack, sweep, check.

Called by the node's one maintenance thread, by ``up`` under the home lock, and
by ``xynctl doctor``. Nothing is pruned but what somebody asked to be forgotten
(:mod:`.git_purge`): a run record is not garbage because its ref has not been
moved yet.
"""

import contextlib
import datetime as dt
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from xyn_reconciler.store import git_command, git_purge
from xyn_reconciler.store.git_objects import sync_folder

MAINTENANCE_SECONDS = 1800.0
"""Bound on one command of the maintenance; the next round takes up what was left."""

LOCK_SECONDS = 8.0
"""A lock that is as it was for so long belongs to nobody: git holds one for milliseconds."""

_RUNS = "refs/xyn/runs/"

_KEPT_SETTINGS = {
    "core.bare": "true",
    "core.fsync": "all",
    "gc.auto": "0",
    "receive.autogc": "false",
    "receive.fsckobjects": "true",
    "receive.hiderefs": "refs/xyn",
}


def maintain(path: Path) -> None:
    """Fold small packs into few (each twice the next smaller or more), keep finished months apart.

    O(what is new): the big packs of the past are left alone. Readers that hold
    a pack which goes away find its objects in the new one.
    """
    # This thread alone writes the graph, so a lock on it is what a kill of an earlier one left.
    for lock in (path / "objects" / "info").rglob("*.lock"):
        lock.unlink(missing_ok=True)
    git_purge.purge(path, dt.datetime.now(dt.UTC))
    for ref, tip in finished_months(path).items():
        _keep_month(path, ref, tip)
    repack = ["repack", "--quiet", "--geometric=2", "-d", "--no-write-bitmap-index"]
    git_command.run(path, repack, seconds=MAINTENANCE_SECONDS)
    sync_folder(path / "objects" / "pack")
    graph = ["commit-graph", "write", "--reachable", "--split", "--no-progress"]
    git_command.run(path, graph, seconds=MAINTENANCE_SECONDS)


def finished_months(path: Path) -> dict[str, str]:
    """Ref to tip of each node's months of run records but the newest, which still grows."""
    listed = git_command.run(path, ["for-each-ref", "--format=%(refname) %(objectname)", _RUNS])
    months = dict(line.split(" ") for line in sorted(listed.stdout.decode().splitlines()))
    newest = {ref.rpartition("/")[0]: ref for ref in months}
    return {ref: tip for ref, tip in months.items() if ref not in newest.values()}


def _keep_month(path: Path, ref: str, tip: str) -> None:
    """One pack for a finished month, which later rounds never read again."""
    folder = path / "objects" / "pack"
    mark = f"xyn {ref} {tip}\n"
    kept = {guard: guard.read_text(errors="replace") for guard in folder.glob("*.keep")}
    if mark in kept.values():
        return
    arguments = ["pack-objects", "--quiet", "--revs", str(folder / "pack")]
    done = git_command.run(path, arguments, stdin=f"{tip}\n".encode(), seconds=MAINTENANCE_SECONDS)
    guard = folder / f"pack-{done.stdout.decode().strip()}.keep"
    guard.write_text(mark)
    for other, text in kept.items():
        # The month was rewritten (an event forgotten): what was kept before is no longer.
        if text.startswith(f"xyn {ref} ") and other != guard:
            other.unlink()
    git_command.run(path, ["pack-refs", "--all"])
    sync_folder(path)
    sync_folder(folder)


def sweep(path: Path) -> list[str]:
    """Remove what a killed process left: locks, unfinished files, packs without an index.

    Only under the home lock, when no process of this node runs. A push over the
    file path that is under way just then fails, and can be repeated.
    """
    removed = []
    for folder, folders, files in os.walk(path):
        here = Path(folder)
        for name in [name for name in folders if name.startswith("tmp_objdir-")]:
            shutil.rmtree(here / name, ignore_errors=True)
            folders.remove(name)
            removed.append(str((here / name).relative_to(path)))
        for name in files:
            if _is_stale(here, name, set(files)):
                (here / name).unlink(missing_ok=True)
                removed.append(str((here / name).relative_to(path)))
    return sorted(removed)


class StaleLocks:
    """Take away the locks of refs that a killed push left, while the node runs.

    Asked every few seconds. A lock counts by how long it has been there
    unchanged, by this process's own clock: a correction of the clock on the
    wall ages nothing.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._since: dict[tuple[Path, int, int], float] = {}

    def sweep(self) -> list[str]:
        """Remove what is older than :data:`LOCK_SECONDS`; the names."""
        now = self._clock()
        self._since = {key: self._since.get(key, now) for key in self._there()}
        removed = []
        for lock, *_ in [key for key, since in self._since.items() if now - since >= LOCK_SECONDS]:
            lock.unlink(missing_ok=True)
            removed.append(str(lock.relative_to(self._path)))
        return sorted(removed)

    def _there(self) -> Iterator[tuple[Path, int, int]]:
        for lock in (*self._path.glob("*.lock"), *(self._path / "refs").rglob("*.lock")):
            with contextlib.suppress(FileNotFoundError):
                found = lock.stat()
                yield lock, found.st_ino, found.st_mtime_ns


def check(path: Path) -> list[str]:
    """Everything that is not as it should be, one sentence each."""
    done = git_command.run(
        path,
        ["fsck", "--connectivity-only", "--no-dangling", "--no-progress"],
        seconds=MAINTENANCE_SECONDS,
        accept=range(256),
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    found = [line for line in said if line and not line.startswith("notice:")]
    if done.returncode and not found:
        found = [f"git fsck ended with {done.returncode}"]
    listed = git_command.run(path, ["config", "--local", "--list"]).stdout.decode(
        "utf-8", "replace"
    )
    settings = dict(line.partition("=")[::2] for line in listed.splitlines())
    found += [
        f"the repository's setting {key} is {settings.get(key, 'missing')}, it has to be {value}"
        for key, value in _KEPT_SETTINGS.items()
        if settings.get(key) != value
    ]
    if "extensions.refstorage" in settings:
        found.append("the repository keeps its refs as a reftable, which is not supported")
    return found


def sync_new(path: Path) -> None:
    """Make a repository that was just created durable: files, folders and its own name."""
    for folder, _folders, files in os.walk(path):
        for name in files:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))
    sync_folder(path.parent)


def _is_stale(folder: Path, name: str, beside: set[str]) -> bool:
    if name.endswith(".lock") or name.startswith(("tmp_", ".tmp-")):
        return True
    if folder.name != "pack":
        return False
    base, _, kind = name.rpartition(".")
    if kind == "keep":
        # receive-pack and fetch-pack guard a pack until its refs are set; a kill leaves the guard.
        text = (folder / name).read_bytes()[:20]
        return text.startswith((b"receive-pack", b"fetch-pack"))
    return kind in ("pack", "rev", "bitmap") and f"{base}.idx" not in beside
