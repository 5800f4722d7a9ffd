"""The repository as the rooms above use it, checked against the git program."""

import datetime as dt
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError
from xyn_reconciler.store import git_objects
from xyn_reconciler.store.git import (
    GitError,
    GitMissingError,
    ObjectMissingError,
    ObjectTooLargeError,
    PathTakenError,
    Repository,
)
from xyn_reconciler.store.git_command import git_program

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
MAIN = "refs/heads/main"
MONTH = "refs/xyn/runs/n1/2026-11"
AUTHOR = "Ada <ada@example.org>"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "state.git")


def put(
    repository: Repository,
    expected: str | None,
    files: dict[str, bytes | None],
    message: str = "Change",
) -> str:
    return repository.commit_files(
        MAIN, expected=expected, changes=files, message=message, author=AUTHOR, now=NOW
    )


def append(repository: Repository, expected: str | None, files: dict[str, bytes]) -> str:
    return repository.append_records(
        MONTH, expected=expected, files=files, message="Runs", author=AUTHOR, now=NOW
    )


def git(repository: Repository, *arguments: str, stdin: bytes = b"") -> str:
    return subprocess.run(
        ["git", "--git-dir", str(repository.path), *arguments],
        input=stdin,
        capture_output=True,
        check=True,
    ).stdout.decode()


def test_what_is_committed_is_what_git_reads(repository: Repository) -> None:
    first = put(repository, None, {"a/b.yaml": b"one\n", "a/c.yaml": b"two\n", "n.yaml": b"x"})
    second = put(repository, first, {"a/b.yaml": None, "a/c.yaml": None, "n.yaml": b"y"})

    assert git(repository, "ls-tree", "-r", "--name-only", first).split() == [
        "a/b.yaml",
        "a/c.yaml",
        "n.yaml",
    ]
    assert git(repository, "ls-tree", "--name-only", second).split() == ["n.yaml"]
    assert git(repository, "cat-file", "blob", f"{second}:n.yaml") == "y"
    assert git(repository, "log", "--format=%an <%ae> %at", "-1", second).strip() == (
        f"{AUTHOR} {int(NOW.timestamp())}"
    )
    git(repository, "fsck", "--full", "--strict")


def test_a_revision_is_listed_in_gits_own_order_with_modes(repository: Repository) -> None:
    files = {name: name.encode() for name in ("a.b", "a/z", "a/b/c", "a0", "ä", "b")}
    sha = put(repository, None, dict(files))

    listed = [(entry.text, entry.mode) for entry in repository.entries(sha)]

    names = git(repository, "ls-tree", "-r", "-z", "--name-only", sha).split("\0")[:-1]
    assert listed == [(name, 0o100644) for name in names]
    assert repository.files(sha).keys() == files.keys()


def test_changes_name_what_was_added_changed_removed_and_turned_into_a_directory(
    repository: Repository,
) -> None:
    first = put(repository, None, {"same": b"s", "dir/old": b"o", "dir/new": b"1", "turn": b"t"})
    second = put(repository, first, {"dir/old": None, "dir/new": b"2", "turn": None})
    third = put(repository, second, {"turn/inside": b"i"})

    found = {change.text: change for change in repository.changes(first, third)}

    assert sorted(str(path) for path in found) == ["dir/new", "dir/old", "turn", "turn/inside"]
    assert found["dir/old"].new_blob is None
    assert found["turn"].new_blob is None
    assert found["turn/inside"].old_blob is None
    assert repository.read(str(found["dir/new"].new_blob)) == b"2"
    assert [change.text for change in repository.changes(None, second)] == ["dir/new", "same"]


def test_only_the_directories_of_a_change_are_handed_to_the_tree_rules(
    repository: Repository,
) -> None:
    first = put(repository, None, {"a/x/1": b"1", "a/y/1": b"1", "b/1": b"1"})
    second = put(repository, first, {"a/x/2": b"22"})

    found = {found.path: found.entries for found in repository.directories(second, since=first)}

    assert sorted(found) == [b"", b"a", b"a/x"]
    assert [(name, size) for name, _mode, _sha, size in found[b"a/x"]] == [(b"1", 1), (b"2", 2)]


def test_files_are_read_by_path_at_a_revision_or_a_ref(repository: Repository) -> None:
    first = put(repository, None, {"a/b/c": b"old"})
    put(repository, first, {"a/b/c": b"new"})

    assert repository.read_path(first, "a/b/c") == b"old"
    assert repository.read_path(MAIN, "a/b/c") == b"new"
    assert repository.read_path(MAIN, "a/b") is None
    assert repository.read_path(MAIN, "a/b/c/d") is None
    assert repository.read_path("refs/heads/draft/none", "a/b/c") is None


def test_history_knows_its_trailers_its_paths_and_its_ancestors(repository: Repository) -> None:
    first = put(repository, None, {"a": b"1"}, "First\n\nWhy: because\nRun-Id: 1\nRun-Id: 2")
    second = put(repository, first, {"b": b"1"}, "Second: has a colon")
    third = put(repository, second, {"a": b"2"}, "Third")

    assert [entry.sha for entry in repository.log(MAIN)] == [third, second, first]
    assert [entry.sha for entry in repository.log(MAIN, path="a")] == [third, first]
    assert [entry.sha for entry in repository.log(MAIN, limit=1)] == [third]
    assert repository.commit(first).trailer_values("run-id") == ("1", "2")
    assert repository.commit(first).authored_at == NOW
    assert repository.commit(second).trailers == ()
    assert repository.is_ancestor(first, third)
    assert not repository.is_ancestor(third, first)


def test_a_merge_contains_both_of_its_parents(repository: Repository) -> None:
    base = put(repository, None, {"a": b"1"})
    left = put(repository, base, {"l": b"1"})
    right = repository.commit_files(
        "refs/heads/draft/x",
        expected=None,
        changes={"r": b"1"},
        message="x",
        author=AUTHOR,
        now=NOW,
    )

    merge = repository.write_commit(
        tree=repository.commit(left).tree,
        parents=[left, right],
        message="Merge",
        author=AUTHOR,
        now=NOW,
    )
    repository.update_ref(MAIN, expected=left, new=merge)

    assert repository.commit(merge).parents == (left, right)
    assert repository.is_ancestor(right, merge)
    assert not repository.is_ancestor(left, right)


def test_of_two_writers_who_expect_the_same_one_is_told(repository: Repository) -> None:
    first = put(repository, None, {"a": b"1"})
    put(repository, first, {"a": b"2"})

    with pytest.raises(ConflictError):
        put(repository, first, {"a": b"3"})
    with pytest.raises(ConflictError):
        put(repository, None, {"a": b"3"})
    assert repository.read_path(MAIN, "a") == b"2"


def test_threads_and_processes_that_race_for_one_ref_lose_no_commit(
    repository: Repository,
) -> None:
    start = put(repository, None, {"start": b""})
    program = (
        "import sys, pathlib; sys.path[:0] = sys.argv[2:]\n"
        "from test_git import race; from xyn_reconciler.store.git import Repository\n"
        "race(Repository.open(pathlib.Path(sys.argv[1])), 'process', 10)"
    )
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    other = subprocess.Popen([sys.executable, "-c", program, str(repository.path), *paths])
    threads = [
        threading.Thread(target=race, args=(repository, f"t{number}", 10)) for number in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert other.wait(60) == 0
    assert len(repository.log(start, limit=1000)) == 1
    assert len(repository.log(MAIN, limit=1000)) == 51
    assert len(repository.files(str(repository.resolve(MAIN)))) == 51


def race(repository: Repository, name: str, count: int) -> None:
    for number in range(count):
        while True:
            try:
                put(repository, repository.resolve(MAIN), {f"{name}-{number}": b""})
            except ConflictError:
                continue
            break


def test_records_come_back_in_path_order_and_are_never_overwritten(repository: Repository) -> None:
    tip = None
    for batch in range(30):
        tip = append(repository, tip, {f"22/12/{batch // 10}/{batch:03}.jsonl": b"%d" % batch})

    with pytest.raises(PathTakenError):
        append(repository, tip, {"22/12/0/003.jsonl": b"again"})
    repository.maintain()
    reopened = Repository.open(repository.path)

    assert [content for _, content in reopened.walk_records(MONTH)] == [
        b"%d" % batch for batch in range(30)
    ]
    assert list(reopened.walk_records("refs/xyn/runs/n1/2026-10")) == []


def test_a_batch_is_one_pack_and_reads_only_the_trees_on_its_path(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {f"{day:02}/00/{n}.jsonl": b"" for day in range(30) for n in "ab"}
    tip = append(repository, None, old)
    packs = repository.pack_count()
    reopened = Repository.open(repository.path)
    read: list[str] = []
    original = git_objects.ObjectReader.read

    def count(self: git_objects.ObjectReader, sha: str, limit: int) -> tuple[int, bytes]:
        read.append(sha)
        return original(self, sha, limit)

    monkeypatch.setattr(git_objects.ObjectReader, "read", count)
    tip = append(reopened, tip, {"07/00/c.jsonl": b""})
    cold = len(read)
    append(reopened, tip, {"07/00/d.jsonl": b""})

    assert reopened.pack_count() == packs + 2
    assert cold == 4, "the commit, the root, the day and the hour"
    assert len(read) == cold, "the next batch begins where this one ended"


@pytest.mark.skipif(sys.platform != "linux", reason="looks up descriptors in /proc")
def test_a_commit_is_answered_only_after_its_files_and_folders_were_synced(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    original = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(repository.path))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    append(repository, None, {"22/12/1.jsonl": b"x"})

    names = [str(path) for path in synced]
    assert names[0].startswith("objects/pack/tmp_pack_")
    assert names[1].startswith("objects/pack/tmp_pack_")
    assert names[2] == "objects/pack"
    assert names[3] == f"{MONTH}.lock"
    assert set(names[4:]) == {"refs/xyn/runs/n1", "refs/xyn/runs", "refs/xyn", "refs", "."}


def test_a_writer_killed_at_any_moment_leaves_a_repository_that_goes_on(
    repository: Repository,
) -> None:
    program = (
        "import sys, pathlib; sys.path[:0] = sys.argv[2:]\n"
        "from test_git import write_on; from xyn_reconciler.store.git import Repository\n"
        "write_on(Repository.open(pathlib.Path(sys.argv[1])))"
    )
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    for attempt in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(repository.path), *paths], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(3 + attempt)]
        writer.kill()
        told += writer.stdout.readlines()
        writer.stdout.close()
        writer.wait()

        repository.sweep_stale_files()

        history = {entry.sha for entry in repository.log(MONTH, limit=10_000)}
        # A line that the kill tore in two promised nothing yet.
        promised = {line.decode().strip() for line in told if line.endswith(b"\n")}
        assert promised <= history
        assert len(list(repository.walk_records(MONTH))) == len(history)
        assert repository.check() == []


def write_on(repository: Repository) -> None:
    tip = repository.resolve(MONTH)
    for batch in range(100_000):
        name = f"{time.time_ns() // 10**9}/{time.time_ns()}-{batch}.jsonl"
        tip = append(repository, tip, {name: os.urandom(2000)})
        sys.stdout.write(f"{tip}\n")
        sys.stdout.flush()


def test_a_sweep_clears_what_a_kill_left_and_nothing_else(repository: Repository) -> None:
    tip = put(repository, None, {"a": b"1"})
    left = [
        "refs/heads/main.lock",
        "packed-refs.lock",
        "objects/pack/tmp_pack_x1",
        "objects/pack/.tmp-12-pack-ab.pack",
        "objects/pack/pack-00.pack",
        "objects/tmp_objdir-incoming-xyz/pack/pack-1.pack",
    ]
    for name in left:
        (repository.path / name).parent.mkdir(parents=True, exist_ok=True)
        (repository.path / name).write_bytes(b"")
    guard = next((repository.path / "objects/pack").glob("*.pack")).with_suffix(".keep")
    guard.write_text("receive-pack 12 on here")

    removed = repository.sweep_stale_files()

    assert set(removed) == {
        *left[:-1],
        "objects/tmp_objdir-incoming-xyz",
        str(guard.relative_to(repository.path)),
    }
    assert put(repository, tip, {"a": b"2"}) == repository.resolve(MAIN)
    assert repository.check() == []


def test_maintenance_beside_a_reader_and_a_writer_loses_nothing(repository: Repository) -> None:
    tip = append(repository, None, {"0.jsonl": b"0"})
    reader = Repository.open(repository.path)
    for batch in range(1, 60):
        tip = append(repository, tip, {f"{batch}.jsonl": b"%d" % batch})
        if batch % 20 == 0:
            assert len(list(reader.walk_records(MONTH))) == batch + 1
            repository.maintain()

    assert repository.pack_count() < 30
    assert len(list(reader.walk_records(MONTH))) == 60
    assert repository.check() == []


def test_a_finished_month_becomes_one_pack_that_is_kept(repository: Repository) -> None:
    tip = None
    for batch in range(5):
        tip = append(repository, tip, {f"{batch}.jsonl": b"%d" % batch})
    assert tip is not None
    december = "refs/xyn/runs/n1/2026-12"
    repository.append_records(
        december, expected=None, files={"1": b""}, message="x", author=AUTHOR, now=NOW
    )

    repository.maintain()
    kept = list((repository.path / "objects/pack").glob("*.keep"))
    repository.maintain()
    repository.sweep_stale_files()

    assert [guard.read_text() for guard in kept] == [f"xyn {MONTH} {tip}\n"]
    assert list((repository.path / "objects/pack").glob("*.keep")) == kept
    index = git(repository, "show-index", stdin=kept[0].with_suffix(".idx").read_bytes())
    assert len(index.splitlines()) == 15, "five commits, trees and files"
    assert repository.resolve(MONTH) == tip
    assert len(list(Repository.open(repository.path).walk_records(MONTH))) == 5
    assert repository.check() == []


def test_deltas_large_indexes_and_loose_objects_are_read_like_any_other(
    repository: Repository,
) -> None:
    lines = [b"line %d of a long file\n" % number for number in range(4000)]
    tip = None
    for number in range(12):
        lines[number * 100] = b"changed\n"
        tip = put(repository, tip, {"long": b"".join(lines), "n": b"%d" % number})
    many = {f"{number % 97}/{number}": b"%d" % number for number in range(9000)}
    tip = put(repository, tip, dict(many))
    loose = git(repository, "hash-object", "-w", "--stdin", stdin=b"loose").strip()
    git(repository, "-c", "pack.window=20", "repack", "-adfq", "--depth=50")
    loose_again = git(repository, "hash-object", "-w", "--stdin", stdin=b"loose again").strip()
    reopened = Repository.open(repository.path)

    contents = {entry.text: reopened.read(entry.sha) for entry in reopened.entries(tip)}
    oldest = reopened.log(MAIN, limit=100)[-1].sha
    first = reopened.read_path(oldest, "long")

    assert contents == {"long": b"".join(lines), "n": b"11", **many}
    assert first is not None
    assert first.count(b"changed") == 1
    blob = reopened.files(oldest)["long"]
    assert reopened.size(blob) == len(first)
    assert reopened.read(loose_again) == b"loose again"
    assert reopened.size(loose_again) == 11
    assert reopened.resolve(loose) in (loose, None), "an unreachable object may go with -a -d"


def test_an_object_over_the_limit_is_refused_before_it_is_inflated(repository: Repository) -> None:
    tip = put(repository, None, {"big": bytes(5_000_000)})
    packed = repository.files(tip)["big"]
    loose = git(repository, "hash-object", "-w", "--stdin", stdin=bytes(5_000_001)).strip()

    for blob in (packed, loose):
        with pytest.raises(ObjectTooLargeError):
            repository.read(blob, limit=1_000_000)
    assert (repository.size(packed), repository.size(loose)) == (5_000_000, 5_000_001)


def test_refs_are_listed_by_prefix_packed_or_not(repository: Repository) -> None:
    tip = put(repository, None, {"a": b"1"})
    for name in ("draft/a", "draft/b/c", "drafty"):
        repository.update_ref(f"refs/heads/{name}", expected=None, new=tip)
    git(repository, "pack-refs", "--all")
    repository.update_ref("refs/heads/draft/new", expected=None, new=tip)

    repository.update_ref("refs/heads/draft/a", expected=tip, new=None)

    assert list(repository.refs("refs/heads/draft/")) == [
        "refs/heads/draft/b/c",
        "refs/heads/draft/new",
    ]
    assert repository.resolve("refs/heads/draft/a") is None
    with pytest.raises(PathTakenError):
        repository.update_ref("refs/heads/draft/b", expected=None, new=tip)
    with pytest.raises(InvalidError):
        repository.update_ref("refs/heads/../config", expected=None, new=tip)
    with pytest.raises(ObjectMissingError):
        repository.update_ref("refs/heads/x", expected=None, new="1" * 40)


@pytest.mark.parametrize("path", ["../x", "a//b", "/a", "a/", ".git/config", "a/./b", ""])
def test_a_path_that_leaves_the_tree_is_refused(repository: Repository, path: str) -> None:
    with pytest.raises(InvalidError):
        put(repository, None, {path: b""})


def test_a_file_never_silently_replaces_a_directory_nor_the_other_way_round(
    repository: Repository,
) -> None:
    tip = put(repository, None, {"a/b": b"1"})

    with pytest.raises(PathTakenError):
        put(repository, tip, {"a": b"1"})
    with pytest.raises(PathTakenError):
        put(repository, tip, {"a/b/c": b"1"})


def test_an_author_cannot_forge_a_header(repository: Repository) -> None:
    with pytest.raises(InvalidError):
        repository.commit_files(
            MAIN, expected=None, changes={}, message="x", author="A\nparent 1 <a@b>", now=NOW
        )


def test_a_mirror_brings_main_drafts_and_history_of_another_repository(
    repository: Repository, tmp_path: Path
) -> None:
    tip = put(repository, None, {"a": b"1"})
    record = append(repository, None, {"1.jsonl": b"1"})
    repository.update_ref("refs/heads/draft/d", expected=None, new=tip)
    other = Repository.create(tmp_path / "other.git")

    moved = other.mirror_from(str(repository.path))

    assert moved == {MAIN: tip, "refs/heads/draft/d": tip, MONTH: record}
    assert list(other.walk_records(MONTH)) == [("1.jsonl", b"1")]
    assert other.check() == []
    assert other.fetch(str(repository.path), ["refs/heads/main"]) == {}


@pytest.mark.parametrize("url", ["--upload-pack=touch x", "", "-x"])
def test_an_address_is_never_taken_for_an_option(repository: Repository, url: str) -> None:
    with pytest.raises(InvalidError):
        repository.fetch(url, ["refs/heads/main"])


def test_a_fetch_speaks_no_protocol_that_runs_programs(repository: Repository) -> None:
    with pytest.raises(GitError, match="not allowed"):
        repository.fetch("ext::sh -c true", ["refs/heads/main"])


def test_a_repository_is_made_once_and_opened_where_it_is(tmp_path: Path) -> None:
    Repository.create(tmp_path / "state.git")

    with pytest.raises(ConflictError):
        Repository.create(tmp_path / "state.git")
    with pytest.raises(NotFoundError):
        Repository.open(tmp_path)
    assert Repository.open(tmp_path / "state.git").check() == []


def test_an_inherited_environment_leads_no_command_astray(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = put(repository, None, {"a": b"1"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere"))

    assert [entry.sha for entry in repository.log(MAIN)] == [tip]
    assert repository.check() == []


@pytest.mark.parametrize("version", ["git version 2.37.9", "gibberish"])
def test_an_old_git_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\necho {version}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    git_program.cache_clear()

    try:
        with pytest.raises(GitMissingError, match=r"git 2\.38 or newer is needed"):
            git_program()
    finally:
        monkeypatch.undo()
        git_program.cache_clear()


def test_doctor_names_a_missing_object_and_a_setting_that_was_changed(
    repository: Repository,
) -> None:
    put(repository, None, {"a": b"1"})
    git(repository, "config", "core.fsync", "none")
    for pack in (repository.path / "objects/pack").iterdir():
        pack.unlink()

    found = "\n".join(repository.check())

    assert "refs/heads/main" in found
    assert "core.fsync is none, it has to be all" in found
