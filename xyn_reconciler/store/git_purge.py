"""Make what was forgotten vanish from the object store, not only from the history.

``event forget`` asks for it (:func:`ask`) before it moves a ref; the maintenance
does it (:func:`purge`), again and again until the old objects are old enough.

The trap: an object that nothing reaches may be one of a push or a batch under
way, whose ref moves in the next moment. Hence :data:`GRACE`.
"""

import datetime as dt
import os
from pathlib import Path
from typing import Final

from xyn_reconciler.store import git_command
from xyn_reconciler.store.durable import sync_folder

GRACE: Final = dt.timedelta(hours=1)
"""Objects that nothing reaches are kept for so long."""

_SECONDS: Final = 1800.0
_ASKED: Final = "xyn-purge"


def ask(path: Path, now: dt.datetime) -> None:
    """Note, durably, that the repository holds what has to go."""
    descriptor = os.open(path / _ASKED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(now.isoformat())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path)


def purge(path: Path, now: dt.datetime, grace: dt.timedelta = GRACE) -> bool:
    """Drop objects that nothing reaches and that are older than ``grace``; whether it was asked.

    Goes before a repack, which would make old objects look new.
    """
    asked = path / _ASKED
    try:
        since = dt.datetime.fromisoformat(asked.read_text(encoding="ascii"))
    except FileNotFoundError:
        return False
    _let_go_of_rewritten_months(path)
    expiry = (now - grace).isoformat(timespec="seconds")
    for arguments in (
        ["repack", "--quiet", "--cruft", f"--cruft-expiration={expiry}", "-d"],
        ["prune", f"--expire={expiry}"],
        ["commit-graph", "write", "--reachable", "--split=replace", "--no-progress"],
    ):
        git_command.run(path, arguments, seconds=_SECONDS)
    sync_folder(path / "objects" / "pack")
    # Twice: a repack that was under way when it was asked for may have renewed them once.
    if now >= since + 2 * grace:
        asked.unlink()
        sync_folder(path)
    return True


def _let_go_of_rewritten_months(path: Path) -> None:
    """Finished months have packs that are kept as they are; not those of another history."""
    listed = git_command.run(path, ["for-each-ref", "--format=xyn %(refname) %(objectname)"])
    current = set(listed.stdout.decode().splitlines())
    for guard in (path / "objects" / "pack").glob("*.keep"):
        mark = guard.read_text(errors="replace").strip()
        if mark.startswith("xyn refs/") and mark not in current:
            guard.unlink()
