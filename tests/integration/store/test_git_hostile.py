"""Trees and packs that no git would write: made by hand, pushed, and read without harm."""

import datetime as dt
import os
import subprocess
import threading
from pathlib import Path

import pytest

from xyn_reconciler.desired.tree_rules import check_tree
from xyn_reconciler.store.git import CorruptObjectError, Repository, TreeTooLargeError
from xyn_reconciler.store.git_commits import parse_commit, serialize_commit
from xyn_reconciler.store.git_objects import BLOB, COMMIT, TREE, ObjectBatch
from xyn_reconciler.store.git_verify import damaged_objects
from xyn_reconciler.store.push_hook import HookServer, PushRequest, hook_socket, install_hooks

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
AUTHOR = "Ada <ada@example.org>"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "state.git")


def line(mode: str, name: bytes, sha: bytes) -> bytes:
    return mode.encode() + b" " + name + b"\0" + sha


def made(repository: Repository, batch: ObjectBatch, tree: bytes) -> str:
    """A commit of a tree, written without a question asked."""
    sha = batch.add(COMMIT, serialize_commit(tree.hex(), [], "By hand", AUTHOR, NOW)).hex()
    batch.write(repository.path / "objects")
    return sha


def test_a_chain_of_ten_thousand_directories_is_named_and_not_followed(
    repository: Repository,
) -> None:
    batch = ObjectBatch()
    tree = batch.add(TREE, line("100644", b"x", batch.add(BLOB, b"")))
    for _ in range(10_000):
        tree = batch.add(TREE, line("40000", b"d", tree))
    revision = made(repository, batch, tree)

    found = check_tree(repository.directories(revision))

    assert found[0].code == "too_deep"
    assert found[0].path == "/".join("d" * 17)
    with pytest.raises(TreeTooLargeError):
        list(repository.entries(revision))
    with pytest.raises(TreeTooLargeError):
        repository.changes(None, revision)


def test_what_git_warns_of_in_a_pushed_file_is_no_damage(repository: Repository) -> None:
    batch = ObjectBatch()
    # By its short name the blob is .gitmodules to git, and none that it can read.
    tree = batch.add(TREE, line("100644", b"gitmod~1", batch.add(BLOB, b"x: 1\n")))
    revision = made(repository, batch, tree)
    repository.update_ref("refs/heads/draft/a", expected=None, new=revision)

    assert damaged_objects(repository.path) == []


@pytest.mark.parametrize("leaf", [b"", None])
def test_a_tree_that_unfolds_to_ten_billion_paths_is_stopped(
    repository: Repository, leaf: bytes | None
) -> None:
    batch = ObjectBatch()
    blob = batch.add(BLOB, b"boom")
    tree = batch.add(TREE, line("100644", b"x", blob) if leaf is None else leaf)
    for _ in range(10):
        tree = batch.add(TREE, b"".join(line("40000", b"%d" % n, tree) for n in range(10)))
    revision = made(repository, batch, tree)

    found = check_tree(repository.directories(revision, sizes=False))

    assert "too_many_entries" in {problem.code for problem in found}
    with pytest.raises(TreeTooLargeError):
        sum(1 for _ in repository.entries(revision))
    with pytest.raises(TreeTooLargeError):
        repository.changes(None, revision)


def test_duplicates_disorder_and_names_that_leave_the_tree_are_all_named(
    repository: Repository,
) -> None:
    batch = ObjectBatch()
    blob = batch.add(BLOB, b"x")
    names = [b"..", b".", b"a", b"a", b".git", b"a/b", b"", b"\xff"]
    revision = made(
        repository, batch, batch.add(TREE, b"".join(line("100644", n, blob) for n in names))
    )

    found = check_tree(repository.directories(revision))

    assert sorted({(problem.path, problem.code) for problem in found}) == [
        (".", "name_not_allowed"),
        (".", "tree_not_sorted"),
        ("..", "name_not_allowed"),
        (".git", "name_not_allowed"),
        ("\\xff", "name_not_utf8"),
        ("a", "duplicate_entry"),
        ("a/b", "name_not_allowed"),
    ]
    assert repository.files(revision).keys() == {"..", ".", "a", ".git", "a/b", ""}


def test_a_tree_that_is_no_tree_ends_the_walk_with_an_error_of_ours(
    repository: Repository,
) -> None:
    for content in (b"100644 x\0short", b"no mode", b"99 x\0" + bytes(20), b"100644 x"):
        batch = ObjectBatch()
        revision = made(repository, batch, batch.add(TREE, content))

        with pytest.raises(CorruptObjectError):
            list(repository.entries(revision))


def test_a_commit_whose_tree_is_a_file_ends_with_an_error_of_ours(repository: Repository) -> None:
    batch = ObjectBatch()
    revision = made(repository, batch, batch.add(BLOB, b"not a tree"))

    with pytest.raises(CorruptObjectError):
        list(repository.directories(revision))


def test_a_commit_may_claim_any_time_and_any_bytes() -> None:
    text = b"tree %s\nauthor \xff <x> 99999999999999999 +0000\ncommitter y <y> -5 +0000\n\n\xfe"

    commit = parse_commit("1" * 40, text % (b"1" * 40))

    assert commit.authored_at.year == 9999
    assert commit.committed_at.year == 1970
    with pytest.raises(CorruptObjectError):
        parse_commit("1" * 40, b"tree x\n\nno people")


def test_a_damaged_pack_is_an_error_of_ours_and_the_rest_stays_readable(
    repository: Repository,
) -> None:
    batch = ObjectBatch()
    lost = batch.add(BLOB, os.urandom(4000)).hex()
    batch.write(repository.path / "objects")
    (pack,) = (repository.path / "objects/pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[100:2000] = bytes(1900)
    pack.chmod(0o644)
    pack.write_bytes(content)
    other = ObjectBatch()
    sound = other.add(BLOB, b"sound").hex()
    other.write(repository.path / "objects")

    with pytest.raises(CorruptObjectError):
        repository.read(lost)
    assert repository.read(sound) == b"sound"


def git(where: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(where), *arguments], input=stdin, capture_output=True, check=False
    )


@pytest.fixture
def pusher(repository: Repository, tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "work")
    git(tmp_path / "work", "config", "user.name", "Ada")
    git(tmp_path / "work", "config", "user.email", "ada@example.org")
    git(tmp_path / "work", "remote", "add", "origin", str(repository.path))
    return tmp_path / "work"


def push_tree(where: Path, tree: bytes) -> tuple[int, str]:
    wrote = git(where, "hash-object", "--literally", "-w", "-t", "tree", "--stdin", stdin=tree)
    sha = git(where, "commit-tree", "-m", "By hand", wrote.stdout.decode().strip()).stdout.decode()
    done = git(where, "push", "origin", f"{sha.strip()}:refs/heads/main")
    return done.returncode, done.stderr.decode()


def rules(repository: Repository, seen: threading.Event) -> HookServer:
    def judge(request: PushRequest, say: object) -> bool:
        assert callable(say)
        if request.kind == "post-receive":
            return True
        (update,) = request.updates
        assert update.new is not None
        seen.set()
        view = repository.quarantined(request.environment)
        found = check_tree(view.directories(update.new, since=update.old))
        for problem in found:
            say(str(problem))
        return not found

    path = hook_socket(repository.path.parent / "run")
    install_hooks(repository, path)
    return HookServer(path, judge, repository=repository)


@pytest.mark.parametrize("name", [b"..", b".git", b"a/b", b"", b"git~1", b".g\xe2\x80\x8cit"])
def test_git_itself_turns_away_a_pushed_tree_that_would_write_elsewhere(
    repository: Repository, pusher: Path, name: bytes
) -> None:
    blob = bytes.fromhex(git(pusher, "hash-object", "-w", "--stdin").stdout.decode().strip())
    seen = threading.Event()

    with rules(repository, seen):
        status, said = push_tree(pusher, line("100644", name, blob))

    assert status != 0
    assert "fsck error" in said or "unpack" in said or "object" in said
    assert not seen.is_set(), "the node was not even asked"
    assert repository.refs("refs/") == {}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([("120000", b"link")], "link:1:1: not_a_plain_file"),
        ([("100644", b"A.yaml"), ("100644", b"a.yaml")], "a.yaml:1:1: name_collision"),
        ([("100644", b"caf\xe9")], "caf\\xe9:1:1: name_not_utf8"),
        ([("100644", b"a\x1b[2J")], "a\\x1b[2J:1:1: name_not_allowed"),
        ([("100644", b"x\xe2\x80\xaefdp")], "x\\u202efdp:1:1: name_not_allowed"),
    ],
)
def test_what_git_lets_through_the_tree_rules_refuse_on_the_pushers_terminal(
    repository: Repository, pusher: Path, entries: list[tuple[str, bytes]], problem: str
) -> None:
    blob = bytes.fromhex(git(pusher, "hash-object", "-w", "--stdin").stdout.decode().strip())

    with rules(repository, threading.Event()):
        status, said = push_tree(pusher, b"".join(line(mode, n, blob) for mode, n in entries))

    assert status != 0
    assert f"remote: {problem}" in said
    assert repository.refs("refs/") == {}


def test_only_what_changed_is_looked_at_but_with_all_of_its_siblings(
    repository: Repository,
) -> None:
    old = repository.commit_files(
        "refs/heads/main",
        expected=None,
        changes={"a/Disk.yaml": b"1", "b/x": b"1"},
        message="x",
        author=AUTHOR,
        now=NOW,
    )
    new = repository.commit_files(
        "refs/heads/main",
        expected=old,
        changes={"a/disk.yaml": b"2"},
        message="x",
        author=AUTHOR,
        now=NOW,
    )

    found = check_tree(repository.directories(new, since=old))

    assert [(problem.path, problem.code) for problem in found] == [
        ("a/disk.yaml", "name_collision")
    ]
