"""Which file of the repository is what, by its path alone (state-repo.md, "Files")."""

import difflib
import re
from typing import Final

from xyn_reconciler.desired.loaded import Kind

_DATA: Final = r"\.(?:yaml|yml|json)"

_KINDS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(rf"node{_DATA}"), "node"),
    (re.compile(rf"nodes/[^/]+{_DATA}"), "node"),
    (re.compile(rf"blueprints/.+{_DATA}", re.DOTALL), "blueprint"),
    (re.compile(rf"packs/[^/]+/pack{_DATA}"), "pack"),
    (re.compile(rf"policies/.+{_DATA}", re.DOTALL), "policy"),
    (re.compile(rf"sources/.+{_DATA}", re.DOTALL), "source"),
    (re.compile(rf"principals{_DATA}"), "principals"),
    (re.compile(rf"tests/.+{_DATA}", re.DOTALL), "test"),
    (re.compile(r"prompts/.+", re.DOTALL), "prompt"),
)

FOLDERS: Final = ("blueprints", "nodes", "packs", "policies", "prompts", "sources", "tests")
FILES: Final = ("node.yaml", "principals.yaml")

SIGNERS: Final = "allowed_signers"
"""In the form of ``ssh-keygen``: where it is, commits that are pushed to ``main`` are signed."""

MAX_IN_FOLDER: Final = 100
"""Documents in one folder above which a tree diff is no longer quick."""


def kind_of(path: str) -> Kind:
    """Tell what a path holds; ``other`` is opaque to Xyn and ignored."""
    return next((kind for pattern, kind in _KINDS if pattern.fullmatch(path)), "other")


def governed_as(path: str) -> Kind:
    """Tell as what kind a change of this path is asked of policies: a pack is all of its files.

    Whose signatures count says who may change things, as principals do.
    """
    if path == SIGNERS:
        return "principals"
    return "pack" if path.startswith("packs/") else kind_of(path)


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def stray(path: str) -> str | None:
    """Say why YAML where Xyn reads none may be a slip; None where it surely is not meant for it."""
    first, slash, rest = path.partition("/")
    if not path.endswith((".yaml", ".yml")) or first.startswith("."):
        return None
    if not slash:
        near = difflib.get_close_matches(first, FILES, n=1)
        hint = f' (did you mean "{near[0]}"?)' if near else ""
        return f"Xyn does not read this file; at the top it reads {' and '.join(FILES)}{hint}"
    if first in ("packs", "prompts"):
        return None  # a pack's own files, or a prompt
    if first == "nodes":
        return "Xyn does not read this file: nodes stand in nodes/<id>.yaml, no deeper"
    near = difflib.get_close_matches(first, FOLDERS, n=1)
    if not near:
        return None
    return f'Xyn does not read this file (did you mean "{near[0]}/{rest}"?)'
