"""A second Git server that holds what this one does."""

import contextlib
from pathlib import Path

import psutil
import pytest

from tests.integration.record.record_world import NODE, World
from tests.running import git, wait_for
from xyn_reconciler.node.mirror import Mirror
from xyn_reconciler.store import desired, git_mirror
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.git_command import GitError


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A bare repository that knows nothing of Xyn."""
    git(tmp_path, "init", "-q", "--bare", "plain.git")
    return tmp_path / "plain.git"


@pytest.fixture
def mirrored(world: World, plain: Path) -> World:
    world.push(**{"node.yaml": f"{NODE}mirror: [{plain}]\n"})
    world.happen()
    world.committer.drain()
    return world


def mirror_of(world: World, tmp_path: Path) -> Mirror:
    return Mirror(world.database, world.repository, tmp_path / "mirrored.json")


def refs(path: Path) -> dict[str, str]:
    said = git(path, "for-each-ref", "--format=%(refname) %(objectname)").stdout
    return dict(line.split(" ") for line in said.splitlines())


def own(world: World) -> dict[str, str]:
    every = world.repository.refs("refs/")
    wanted = ("refs/heads/draft/", "refs/xyn/runs/seed/", "refs/xyn/audit/seed")
    return {ref: tip for ref, tip in every.items() if ref == MAIN or ref.startswith(wanted)}


def said(world: World) -> tuple[bool, str, str]:
    with world.database.connect() as connection:
        (found,) = (c for c in desired.read_node(connection).conditions if c.type == "Mirrored")
    return found.status, found.reason, found.message


def test_a_plain_server_gets_main_drafts_and_this_nodes_records_alone(
    mirrored: World, plain: Path, tmp_path: Path
) -> None:
    tip = mirrored.repository.resolve(MAIN)
    for ref in ("refs/heads/draft/one", "refs/xyn/runs/other/2026-01", "refs/xyn/origin/main"):
        mirrored.repository.update_ref(ref, expected=None, new=tip)

    mirror = mirror_of(mirrored, tmp_path)
    mirror.look()

    assert refs(plain) == own(mirrored)
    assert "refs/heads/draft/one" in refs(plain)
    assert said(mirrored)[:2] == (True, "Pushed")
    mirrored.happen()
    mirrored.committer.drain()
    mirrored.repository.update_ref("refs/heads/draft/one", expected=tip, new=None)
    mirror.look()
    assert refs(plain) == own(mirrored)


def test_a_month_that_was_written_anew_and_a_draft_that_is_gone_follow(
    mirrored: World, plain: Path, tmp_path: Path
) -> None:
    mirror_of(mirrored, tmp_path).look()
    (ref,) = mirrored.repository.refs("refs/xyn/runs/seed/")
    old = mirrored.repository.resolve(ref)
    new = mirrored.git("commit-tree", f"{ref}^{{tree}}", "-m", "anew").strip()
    mirrored.repository.update_ref(ref, expected=old, new=new)

    # Another process of the same home: what was pushed is remembered.
    mirror_of(mirrored, tmp_path).look()

    assert refs(plain)[ref] == new


def test_what_did_not_come_from_here_is_neither_overwritten_nor_deleted(
    mirrored: World, plain: Path, tmp_path: Path
) -> None:
    mirror_of(mirrored, tmp_path).look()
    before = refs(plain)
    anew = Repository.create(tmp_path / "anew.git")
    for ref in (MAIN, *anew_months(mirrored)):
        anew.commit_files(
            ref,
            expected=None,
            changes={"node.yaml": b"id: seed\n"},
            message="Begin again\n",
            author="A <a@b>",
            now=mirrored.now(),
        )
    mirrored.repository = anew

    Mirror(mirrored.database, anew, tmp_path / "another-home.json").look()

    assert refs(plain) == before
    status, reason, message = said(mirrored)
    assert (status, reason) == (False, "Diverged")
    assert MAIN in message


def anew_months(world: World) -> list[str]:
    return list(world.repository.refs("refs/xyn/runs/seed/"))


def test_a_server_that_is_away_is_said_and_gets_everything_when_it_is_back(
    mirrored: World, plain: Path, tmp_path: Path
) -> None:
    mirror = mirror_of(mirrored, tmp_path)
    plain.rename(tmp_path / "away.git")
    mirror.look()
    away = said(mirrored)
    (tmp_path / "away.git").rename(plain)
    mirror.look()  # within the pause: nothing is asked
    paused = refs(plain)
    for target in mirror._targets.values():  # noqa: SLF001 - the pause is over
        target.again_at = 0.0
    mirror.look()

    assert (away[:2], paused) == ((False, "Behind"), {})
    assert "refs are behind" in away[2]
    assert refs(plain) == own(mirrored)
    assert said(mirrored)[:2] == (True, "Pushed")


def test_without_a_mirror_nothing_is_said_of_one(mirrored: World, tmp_path: Path) -> None:
    mirror = mirror_of(mirrored, tmp_path)
    mirror.look()
    mirrored.push(**{"node.yaml": NODE})
    mirror.look()

    with mirrored.database.connect() as connection:
        kinds = [c.type for c in desired.read_node(connection).conditions]
    assert "Mirrored" not in kinds


def test_an_error_names_the_server_without_its_credentials(
    mirrored: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pattern of node.yaml lets none in; a credential helper or a redirect may all the same.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    url = "http://ada:hunter2-hunter2@mirror.invalid/state.git"

    with pytest.raises(GitError) as caught:
        git_mirror.push(mirrored.repository.path, url, own(mirrored), {}, seconds=20)

    assert "hunter2" not in str(caught.value)
    assert "ada" not in str(caught.value)


def test_a_server_that_hangs_is_given_up_with_its_helpers(
    mirrored: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    script = tmp_path / "ssh"
    script.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n")
    script.chmod(0o700)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))

    with pytest.raises(GitError, match="did not end within 1 s"):
        git_mirror.push(
            mirrored.repository.path, "git@mirror.invalid:x.git", own(mirrored), {}, seconds=1
        )

    helper = int(pid.read_text())
    wait_for(lambda: not _lives(helper))


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(
    "url", ["https://ada:x@git.example.net/a.git", "https://token@git.example.net/a", "ext::sh"]
)
def test_an_address_with_credentials_or_of_another_kind_is_refused(world: World, url: str) -> None:
    world.push(**{"node.yaml": f'{NODE}mirror: ["{url}"]\n'})

    with world.database.connect() as connection:
        assert desired.read_node(connection).settings["mirror"] == []
