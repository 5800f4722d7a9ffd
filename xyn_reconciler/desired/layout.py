"""Which file of the repository is what, by its path alone (state-repo.md, "Files")."""

import re
from typing import Final

from xyn_reconciler.desired.loaded import Kind
from xyn_reconciler.desired.wording import did_you_mean, nearest

_DATA: Final = r"\.(?:yaml|yml|json)"
_PACK: Final = re.compile(r"packs/([^/]+)/(.+)", re.DOTALL)

_KINDS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(rf"node{_DATA}"), "node"),
    (re.compile(rf"nodes/[^/]+{_DATA}"), "node"),
    (re.compile(rf"blueprints/.+{_DATA}", re.DOTALL), "blueprint"),
    (re.compile(rf"policies/.+{_DATA}", re.DOTALL), "policy"),
    (re.compile(rf"sources/.+{_DATA}", re.DOTALL), "source"),
    (re.compile(rf"principals{_DATA}"), "principals"),
    (re.compile(rf"prices{_DATA}"), "prices"),
    (re.compile(rf"tests/.+{_DATA}", re.DOTALL), "test"),
    (re.compile(r"prompts/.+", re.DOTALL), "prompt"),
    (re.compile(r"known_hosts"), "known_hosts"),
    # Whatever stands there, or a value in plain text would be nobody's concern.
    (re.compile(r"secrets/(?!README\.md$).+", re.DOTALL), "secret"),
)

_IN_PACKS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(rf"pack{_DATA}"), "pack"),
    (re.compile(rf"settings{_DATA}"), "pack_settings"),
    (re.compile(r"(?:actions|config)/(?!(?:.*/)?__pycache__/).+", re.DOTALL), "pack_file"),
    (re.compile(r"migrations/[^/]+\.sql"), "pack_file"),
    (re.compile(r"schemas/.+\.json", re.DOTALL), "pack_file"),
    (re.compile(rf"examples/.+{_DATA}", re.DOTALL), "pack_file"),
    (re.compile(r"compose\.yaml"), "pack_file"),
)
"""What stands in ``packs/<id>/`` besides what stands at the top, too."""

_AS_AT_THE_TOP: Final = ("blueprint", "policy", "source", "test", "prompt")

FOLDERS: Final = (
    *("blueprints", "nodes", "packs", "policies", "prompts", "secrets", "sources", "tests"),
)
PACK_FOLDERS: Final = (
    *("actions", "blueprints", "config", "examples", "migrations", "policies", "prompts"),
    *("schemas", "sources", "tests"),
)
PACK_FILES: Final = ("pack.yaml", "settings.yaml", "compose.yaml")
FILES: Final = ("node.yaml", "principals.yaml", "prices.yaml")

SIGNERS: Final = "allowed_signers"
"""In the form of ``ssh-keygen``: where it is, commits that are pushed to ``main`` are signed."""

MAX_IN_FOLDER: Final = 100
"""Documents in one folder above which a tree diff is no longer quick."""


def kind_of(path: str) -> Kind:
    """Tell what a path holds; ``other`` is opaque to Xyn and ignored."""
    pack, below = in_pack(path)
    if pack is not None:
        found = next((kind for pattern, kind in _IN_PACKS if pattern.fullmatch(below)), None)
        if found is not None:
            return found
        kind = _top_kind(below)
        return kind if kind in _AS_AT_THE_TOP else "other"
    return _top_kind(path)


def _top_kind(path: str) -> Kind:
    return next((kind for pattern, kind in _KINDS if pattern.fullmatch(path)), "other")


def in_pack(path: str) -> tuple[str | None, str]:
    """Split ``packs/<id>/<rest>`` into id and rest; ``(None, path)`` for what is in no pack."""
    found = _PACK.fullmatch(path)
    return (found[1], found[2]) if found is not None else (None, path)


def governed_as(path: str) -> Kind:
    """Tell as what kind a change of this path is asked of policies: a pack is all of its files.

    Whose signatures count says who may change things, as principals do; and a policy is a
    policy wherever it stands, or a pack could bring along what allows it everything.
    """
    if path == SIGNERS:
        return "principals"
    kind = kind_of(path)
    return "pack" if path.startswith("packs/") and kind != "policy" else kind


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def stray(path: str) -> str | None:
    """Say why YAML where Xyn reads none may be a slip; None where it surely is not meant for it."""
    first, slash, rest = path.partition("/")
    if not path.endswith((".yaml", ".yml")) or first.startswith("."):
        return None
    if not slash:
        hint = did_you_mean(first, FILES)
        return f"Xyn does not read this file; at the top it reads {' and '.join(FILES)}{hint}"
    if first in ("packs", "prompts"):
        return _stray_in_pack(path)
    if first == "nodes":
        return "Xyn does not read this file: nodes stand in nodes/<id>.yaml, no deeper"
    near = nearest(first, FOLDERS)
    if near is None:
        return None
    return f'Xyn does not read this file (did you mean "{near}/{rest}"?)'


def _stray_in_pack(path: str) -> str | None:
    pack, below = in_pack(path)
    if pack is None:
        return None
    first, slash, rest = below.partition("/")
    near = nearest(first, PACK_FOLDERS if slash else PACK_FILES)
    if near is None or (slash and near == first):
        return None
    right = f"{near}/{rest}" if slash else near
    return f'Xyn does not read this file (did you mean "packs/{pack}/{right}"?)'
