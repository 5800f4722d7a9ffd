"""What things in managed repositories may be called: the repositories, refs, and files. Pure.

Whatever git, a shell or another file system would read as something else is refused here,
before anything sees it.
"""

import re
import stat
from typing import Final

from dulwich.index import validate_path_element_hfs, validate_path_element_ntfs

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store.git import TreeEntry

SHA: Final = re.compile(r"[0-9a-f]{40}")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*")
_LONGEST_NAME: Final = 100
_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]*")
_LONGEST_REF: Final = 200
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_LONGEST_PATH: Final = 1000


def check_name(name: str) -> None:
    """Raise ``InvalidError`` for what is not the name of a repository."""
    if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise InvalidError(
            f"{name[:_LONGEST_NAME]!r} is not the name of a repository: up to"
            f" {_LONGEST_NAME} characters of a-z 0-9 . _ -"
        )


def check_ref(ref: str) -> None:
    """Raise ``InvalidError`` for what is no branch, tag or commit."""
    odd = any(part in ref for part in ("..", "//", "/.", ".lock/")) or ref.endswith(
        ("/", ".", ".lock")
    )
    if odd or len(ref) > _LONGEST_REF or _REF.fullmatch(ref) is None:
        raise InvalidError(f"{ref[:_LONGEST_REF]!r} is not a branch, a tag or a commit")


def check_branch(name: str) -> None:
    """As :func:`check_ref`, of what a commit may go to: never what reads as something else."""
    check_ref(name)
    if reads_as_another(name):
        raise InvalidError(f"a branch is not named like a commit, HEAD, origin/… or refs/…: {name}")


def reads_as_another(branch: str) -> bool:
    """Whether the name of a branch would stand before what the same words mean elsewhere."""
    odd = branch == "HEAD" or branch.startswith(("origin/", "refs/"))
    return odd or SHA.fullmatch(branch) is not None


def check_path(path: str) -> None:
    """Raise ``InvalidError`` for a path that is none, or means something to git somewhere."""
    parts = path.encode("utf-8", "surrogatepass").split(b"/")
    fine = all(
        part not in (b"", b".", b"..")
        and validate_path_element_ntfs(part)
        and validate_path_element_hfs(part)
        for part in parts
    )
    if not fine or len(path) > _LONGEST_PATH or _UNFIT.search(path):
        raise InvalidError(f"{path[:_LONGEST_PATH]!r} is not the path of a file in a repository")


def is_plain(entry: TreeEntry) -> bool:
    """Whether an entry is an ordinary file under a path that any file system takes."""
    if not stat.S_ISREG(entry.mode) or entry.text is None:
        return False
    try:
        check_path(entry.text)
    except InvalidError:
        return False
    return True
