"""Damage in the repository is found where a node would need the object next."""

import datetime as dt
import subprocess

import pytest

from xyn_reconciler.store import git_inspection
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.git_inspection import Inspection
from xyn_reconciler.store.git_maintenance import LOCK_SECONDS, StaleLocks

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
RECORDS = "refs/xyn/runs/seed/2026-01"


@pytest.fixture
def filled(repository: Repository) -> Repository:
    files = {
        MAIN: {"node.yaml": b"id: seed\n", "blueprints/a/b.yaml": b"id: bp.b\n"},
        RECORDS: {"01/00/first.jsonl": b"1\n", "01/30/last.jsonl": b"2\n"},
    }
    for ref, changes in files.items():
        repository.commit_files(
            ref, expected=None, changes=dict(changes), message="m\n", author="A <a@b>", now=NOW
        )
    return repository


def ask(repository: Repository, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "--git-dir", str(repository.path), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def spoil(repository: Repository, name: str) -> None:
    """Overwrite eight bytes of an object in its pack, as a bad disk does."""
    for index in (repository.path / "objects" / "pack").glob("*.idx"):
        for line in ask(repository, "verify-pack", "-v", str(index)).splitlines():
            if line.startswith(name):
                pack = index.with_suffix(".pack")
                pack.chmod(0o600)
                with pack.open("r+b") as file:
                    file.seek(int(line.split()[4]) + 4)
                    file.write(bytes(8))


def test_a_repository_that_is_whole_is_found_whole(filled: Repository) -> None:
    inspection = Inspection(filled)

    assert inspection.found == ""
    assert inspection.look() is None


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (f"{MAIN}", f"the tip of {MAIN}"),
        (f"{MAIN}^{{tree}}", f"the folder / of {MAIN}"),
        (f"{MAIN}:blueprints/a", f"the folder /blueprints/a/ of {MAIN}"),
        (f"{MAIN}:blueprints/a/b.yaml", f"blueprints/a/b.yaml of {MAIN}"),
        (RECORDS, f"the tip of {RECORDS}"),
        (f"{RECORDS}:01/30", f"the folder /01/30/ of {RECORDS}"),
    ],
)
def test_a_damaged_object_is_named_with_its_place_also_when_it_was_read_before(
    filled: Repository, what: str, where: str
) -> None:
    name = ask(filled, "rev-parse", what)
    inspection = Inspection(filled)
    assert inspection.look() is None

    spoil(filled, name)

    found = inspection.look() or ""
    assert name in found
    assert found.startswith(f"{where} is damaged")


def test_a_missing_pack_is_damage_and_its_return_ends_it(filled: Repository) -> None:
    inspection = Inspection(filled)
    inspection.look()
    packs = list((filled.path / "objects" / "pack").iterdir())
    for path in packs:
        path.rename(filled.path / path.name)

    assert "is damaged" in (inspection.look() or "")

    for path in packs:
        (filled.path / path.name).rename(path)
    assert inspection.look() is None


def test_a_large_repository_is_read_in_turns_and_what_was_found_is_kept_until_all_was_read(
    filled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_inspection, "AT_ONCE", 2)
    inspection = Inspection(filled)

    whole = [inspection.look() for _ in range(6)]
    spoil(filled, ask(filled, "rev-parse", f"{MAIN}:node.yaml"))
    damaged = [inspection.look() for _ in range(12)]

    assert whole[0] == ""
    assert None in whole
    first = next(n for n, each in enumerate(damaged) if each)
    assert all(damaged[first:])


def test_a_lock_goes_when_it_has_been_there_for_too_long_and_no_sooner(filled: Repository) -> None:
    now = 100.0
    locks = StaleLocks(filled.path, clock=lambda: now)
    left = [filled.path / "packed-refs.lock", filled.path / f"{RECORDS}.lock"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    removed = [locks.sweep()]
    now += LOCK_SECONDS - 0.1
    removed.append(locks.sweep())
    # Another process took it and let go meanwhile: this one is new.
    left[0].unlink()
    left[0].write_bytes(b"new")
    now += 0.1
    removed.append(locks.sweep())

    assert removed == [[], [], [f"{RECORDS}.lock"]]
    assert [path.exists() for path in left] == [True, False]
    now += LOCK_SECONDS
    assert locks.sweep() == ["packed-refs.lock"]
