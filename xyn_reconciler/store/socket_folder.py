"""Where a unix socket may lie: in a folder of its user's own, on a short path.

The kernel takes 107 bytes of socket path (macOS: 103), and a home may lie
deeper than that. Postgres and the push hook's socket share this rule.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from xyn_reconciler.model.errors import UnavailableError

LONGEST_SOCKET_PATH = 100
"""Bytes of the whole path, the socket's name included; below every kernel's limit."""


def private_folder(folder: Path) -> Path:
    """Make a folder that its owner alone may enter, or tighten one of ours.

    Raises ``UnavailableError`` where it belongs to somebody else or is a link:
    in a shared folder such as ``/tmp`` anybody may have put it there first.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UnavailableError(
            f"{folder} is not a folder of this user (uid {os.geteuid()}); remove it"
        )
    folder.chmod(0o700)
    return folder


def socket_folder(wanted: Path, socket_name: str) -> Path:
    """Give the folder for a socket, made and 0700: the wanted one where its path is short enough.

    Otherwise a folder of the user's runtime directory, named by a digest of
    the wanted one, so that two homes never share it.
    """
    wanted = Path(os.path.abspath(wanted))  # noqa: PTH100 - resolve() would follow links
    if len(os.fsencode(wanted / socket_name)) <= LONGEST_SOCKET_PATH:
        return private_folder(wanted)
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    return private_folder(_runtime_folder() / digest)


def _runtime_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(os.fsencode(runtime)) <= LONGEST_SOCKET_PATH // 2:
        folder = Path(runtime)
        if folder.is_dir() and folder.stat().st_uid == os.geteuid():
            return private_folder(folder / "xyn")
    shared = Path(tempfile.gettempdir())
    if len(os.fsencode(shared)) > LONGEST_SOCKET_PATH // 2:
        shared = Path("/tmp")  # noqa: S108 - the folder made in it is checked to be ours and 0700
    return private_folder(shared / f"xyn-{os.geteuid()}")
