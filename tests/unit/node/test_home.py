import os
import subprocess
import sys
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import ConflictError, NotFoundError, UnavailableError
from xyn_reconciler.node.home import Home


@pytest.fixture
def place(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_a_home_is_its_owners_alone_and_git_passes_it_over(place: Home) -> None:
    modes = {p.name: p.stat().st_mode & 0o777 for p in (place.path, place.artifacts, place.run)}

    assert modes == {"home": 0o700, "artifacts": 0o700, "run": 0o700}
    assert (place.path / ".gitignore").read_text() == "*\n"


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)

    Home(folder).create()

    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_way_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UnavailableError, match=r"cannot be a node's home.*--home DIR"):
        Home(tmp_path / "file").create()


def test_a_home_in_use_names_its_holder(place: Home) -> None:
    with (
        place.lock(),
        pytest.raises(ConflictError, match=f"in use by pid {os.getpid()}"),
        place.lock("web"),
    ):
        pass


def test_several_workers_share_a_home_but_not_with_a_whole_node(place: Home) -> None:
    with place.lock("worker"), place.lock("worker"):
        with pytest.raises(ConflictError), place.lock():
            pass
        with place.lock("web"), place.lock("node"):
            pass
        with place.lock("web"), pytest.raises(ConflictError), place.lock("web"):
            pass


def test_a_node_that_was_killed_does_not_count_as_running(place: Home) -> None:
    note = (
        "import sys; from pathlib import Path; from xyn_reconciler.node.home import Home; "
        "Home(Path(sys.argv[1])).note_running('http://127.0.0.1:1')"
    )
    subprocess.run([sys.executable, "-c", note, place.path], check=True)

    with pytest.raises(NotFoundError, match=r"no node runs in .*xynctl up --home"):
        place.running()

    place.note_running("http://127.0.0.1:2")
    assert place.running() == "http://127.0.0.1:2"
    place.forget_running()
    with pytest.raises(NotFoundError):
        place.running()
