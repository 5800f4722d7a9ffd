"""Merges and reverts without a checkout, on a real repository with the real git."""

import datetime as dt
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.git_merge import (
    Conflict,
    merge,
    merges_of,
    revert,
    reverts_of,
    revisions_named,
)

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
AUTHOR = "Ada <ada@example.org>"
FOUR = b"one\ntwo\nthree\nfour\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "state.git")


def put(
    repository: Repository, ref: str, parent: str | None, files: dict[str, bytes | None]
) -> str:
    """Commit on top of ``parent``, on a branch that begins there."""
    name = f"refs/heads/{ref}"
    if repository.resolve(name) != parent:
        repository.update_ref(name, expected=None, new=parent)
    return repository.commit_files(
        name, expected=parent, changes=files, message="Change", author=AUTHOR, now=NOW
    )


def files(repository: Repository, tree: str) -> dict[str, bytes]:
    sha = repository.write_commit(tree=tree, parents=[], message="x", author=AUTHOR, now=NOW)
    return {path: repository.read(blob) for path, blob in repository.files(sha).items()}


def test_both_sides_of_one_file_and_a_renamed_one_merge(repository: Repository) -> None:
    base = put(repository, "main", None, {"a": FOUR, "b": FOUR * 9})
    ours = put(
        repository, "main", base, {"a": b"ONE\ntwo\nthree\nfour\n", "b": b"new\n" + FOUR * 9}
    )
    theirs = put(
        repository,
        "draft/x",
        base,
        {"a": b"one\ntwo\nthree\nFOUR\n", "b": None, "c": FOUR * 9},
    )

    done = merge(repository, ours, theirs)

    assert done.conflicts == ()
    assert files(repository, done.tree) == {
        "a": b"ONE\ntwo\nthree\nFOUR\n",
        "c": b"new\n" + FOUR * 9,
    }
    assert repository.resolve("refs/heads/main") == ours


def test_a_conflict_names_the_path_and_both_sides(repository: Repository) -> None:
    base = put(repository, "main", None, {"a b.yaml": b"1\n", "gone": b"1\n", "kept": b""})
    ours = put(repository, "main", base, {"a b.yaml": b"2\n", "gone": b"2\n"})
    theirs = put(repository, "draft/x", base, {"a b.yaml": b"3\n", "gone": None})

    done = merge(repository, ours, theirs)

    def blob(revision: str, path: str) -> str:
        return repository.files(revision)[path]

    assert done.conflicts == (
        Conflict(
            "a b.yaml", blob(base, "a b.yaml"), blob(ours, "a b.yaml"), blob(theirs, "a b.yaml")
        ),
        Conflict("gone", blob(base, "gone"), blob(ours, "gone"), None),
    )


def test_histories_that_share_nothing_are_refused(repository: Repository) -> None:
    ours = put(repository, "main", None, {"a": b"1"})
    theirs = put(repository, "draft/x", None, {"b": b"1"})

    with pytest.raises(InvalidError, match="cannot be merged"):
        merge(repository, ours, theirs)


def test_a_revert_of_a_merge_takes_back_that_change_alone(repository: Repository) -> None:
    base = put(repository, "main", None, {"a": b"1\n", "b": b"1\n"})
    theirs = put(repository, "draft/x", base, {"a": b"2\n", "new": b"1\n"})
    promotion = repository.write_commit(
        tree=merge(repository, base, theirs).tree,
        parents=[base, theirs],
        message="Promote x",
        author=AUTHOR,
        now=NOW,
    )
    repository.update_ref("refs/heads/main", expected=base, new=promotion)
    later = put(repository, "main", promotion, {"b": b"2\n"})

    done = revert(repository, promotion, later, author=AUTHOR, now=NOW)

    assert done.conflicts == ()
    assert files(repository, done.tree) == {"a": b"1\n", "b": b"2\n"}


def test_the_first_commit_cannot_be_reverted(repository: Repository) -> None:
    first = put(repository, "main", None, {"a": b"1\n"})

    with pytest.raises(InvalidError, match="nothing before it"):
        revert(repository, first, first, author=AUTHOR, now=NOW)


def test_who_brought_a_commit_and_who_took_it_back_is_found_in_history(
    repository: Repository,
) -> None:
    base = put(repository, "main", None, {"a": FOUR})
    head = put(repository, "draft/x", base, {"b": FOUR})
    tree = repository.commit(head).tree

    def on(parents: list[str], message: str) -> str:
        return repository.write_commit(
            tree=tree, parents=parents, message=message, author=AUTHOR, now=NOW
        )

    merged = on([base, head], "Promote draft/x\n\nDraft: x\n")
    by_git = on([merged], f'Revert "x"\n\nThis reverts commit {merged}, reversing\nchanges.\n')
    by_us = on([by_git], f"Take back\n\nReverts: {head}\n")
    tip = on([by_us], f"Speak of {merged}\n\nSee {head}: it was fine.\n")

    assert merges_of(repository, head, tip) == [merged]
    assert merges_of(repository, base, tip) == []
    assert reverts_of(repository, [merged], tip) == [by_git]
    assert reverts_of(repository, [head, merged], tip) == [by_us, by_git]
    assert reverts_of(repository, [], tip) == []
    assert revisions_named(repository, merged[:12], tip) == [merged]
    assert revisions_named(repository, merged, base) == []


def test_files_can_be_committed_before_any_ref_names_them(repository: Repository) -> None:
    base = put(repository, "main", None, {"a": FOUR, "b": FOUR})

    made = repository.write_files(
        base, changes={"a": None, "c/d": b"new\n"}, message="x", author=AUTHOR, now=NOW
    )

    assert files(repository, repository.commit(made).tree) == {"b": FOUR, "c/d": b"new\n"}
    assert repository.commit(made).parents == (base,)
    assert repository.resolve("refs/heads/main") == base
