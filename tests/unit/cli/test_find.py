"""Which node a command is for; a node that runs is this process, as far as a home can tell."""

from pathlib import Path

import pytest

from tests.running import git
from xyn_reconciler.cli.find import find_url, home_path, state_clone
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.node.home import Home


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XYN_HOME", "XYN_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def running(path: Path, url: str) -> Path:
    home = Home(path)
    home.create()
    home.repository.mkdir(exist_ok=True)
    home.note_running(url)
    return path


def clone_of(url: str, folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", url)
    (folder / "node.yaml").write_text("id: seed\n")
    (folder / "deep" / "er").mkdir(parents=True)
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def test_each_way_of_naming_a_node_comes_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path / ".xyn", "http://further-up")
    clone = clone_of("http://ada@in-the-remote:8080/git/state.git", tmp_path / "clone")
    named = running(tmp_path / "named", "http://named")
    in_variable = running(tmp_path / "variable", "http://in-the-variable")

    assert find_url(None) == "http://further-up"
    monkeypatch.chdir(clone)
    assert find_url(None) == "http://in-the-remote:8080"
    monkeypatch.setenv("XYN_URL", "http://in-the-url/")
    assert find_url(None) == "http://in-the-url"
    monkeypatch.setenv("XYN_HOME", str(in_variable))
    assert find_url(None) == "http://in-the-variable"
    assert find_url(str(named)) == "http://named"


def test_subfolders_and_worktrees_of_a_clone_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = clone_of("http://[::1]:8080/git/state.git", tmp_path / "clone")
    git(clone, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "draft/x")

    for folder in (clone / "deep" / "er", tmp_path / "tree"):
        monkeypatch.chdir(folder)
        assert find_url(None) == "http://[::1]:8080"


@pytest.mark.parametrize("form", ["{0}/state.git", "file://{0}/state.git", "../a home/state.git"])
def test_a_remote_that_is_a_path_leads_to_the_home_it_lies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    home = running(tmp_path / "a home", "http://of-the-path")
    clone = clone_of(form.format(str(home)), tmp_path / "clone")

    monkeypatch.chdir(clone / "deep")

    assert find_url(None) == "http://of-the-path"


def test_another_remote_does_where_origin_is_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = clone_of("https://git.example.org/team/state.git", tmp_path / "clone")
    git(clone, "remote", "add", "a-node", "http://127.0.0.1:8081/git/state.git")

    monkeypatch.chdir(clone)

    assert find_url(None) == "http://127.0.0.1:8081"


def test_a_command_typed_inside_a_home_is_for_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(tmp_path / "home", "http://around-us")

    monkeypatch.chdir(tmp_path / "home" / "artifacts")

    assert find_url(None) == "http://around-us"
    assert home_path(None) == tmp_path / "home"


def test_where_no_node_is_the_command_that_starts_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="xynctl up"):
        find_url(None)
    with pytest.raises(NotFoundError, match=r"start it: xynctl up --home '.*with space'"):
        find_url(str(tmp_path / "with space"))


def test_a_new_home_is_made_here_or_at_the_top_of_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home_path(None) == tmp_path / ".xyn"
    assert state_clone() is None

    clone = clone_of("http://127.0.0.1:1/git/state.git", tmp_path / "clone")
    monkeypatch.chdir(clone / "deep")

    found = state_clone()
    assert found is not None
    assert (found.root, found.origin) == (clone, "http://127.0.0.1:1/git/state.git")
    assert home_path(None) == clone / ".xyn"
    assert home_path("~/x") == Path.home() / "x"
