import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.store.socket_folder import (
    LONGEST_SOCKET_PATH,
    private_folder,
    socket_folder,
)

SOCKET = "hook.sock"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory with a path short enough for a socket."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_short_path_is_taken_as_it_is_and_made_private(runtime: Path) -> None:
    wanted = runtime / "run"
    wanted.mkdir(mode=0o755)

    assert socket_folder(wanted, SOCKET) == wanted
    assert mode(wanted) == 0o700


def test_the_whole_path_counts_to_the_byte(runtime: Path) -> None:
    room = LONGEST_SOCKET_PATH - len(os.fsencode(runtime / "x" / SOCKET)) + 1
    fits, longer = runtime / ("x" * room), runtime / ("x" * (room + 1))

    assert socket_folder(fits, SOCKET) == fits
    assert socket_folder(longer, SOCKET) != longer


def test_a_long_path_moves_to_a_private_folder_of_the_users_runtime_directory(
    runtime: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / ("a" * 120), tmp_path / ("b" * 120)

    folders = [socket_folder(one, SOCKET), socket_folder(two, SOCKET)]

    assert folders == [socket_folder(one, SOCKET), socket_folder(two, SOCKET)]
    assert folders[0] != folders[1]
    for folder in folders:
        assert folder.parent == runtime / "xyn"
        assert mode(folder) == mode(folder.parent) == 0o700
        assert len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET_PATH
    assert not one.exists()


def test_a_link_that_somebody_put_there_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    (runtime / "link").symlink_to(tmp_path)
    before = mode(tmp_path)

    with pytest.raises(UnavailableError, match="is not a folder of this user"):
        private_folder(runtime / "link")
    assert mode(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(runtime: Path) -> None:
    theirs = runtime / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)

    with pytest.raises(UnavailableError, match="is not a folder of this user"):
        private_folder(theirs)
