"""The desired state of one revision: every document by path and by what it is called.

Immutable: :meth:`DesiredState.apply` gives the next one. It copies two dictionaries of
pointers (a tenth of a millisecond at 10,000 files) and works on what changed; nothing
is parsed again. Built from stored rows at a start.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from xyn_reconciler.desired.layout import folder_of, in_pack
from xyn_reconciler.desired.loaded import Kind, Loaded

MAIN_NODE = "node"
"""``node.yaml`` without its ending: the node where triggers without ``nodes:`` are live."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Documents of one revision; opaque files are not in it."""

    files: Mapping[str, Loaded] = field(default_factory=dict)
    """By path."""
    by_identity: Mapping[tuple[Kind, str], tuple[str, ...]] = field(default_factory=dict)
    """(kind, document id) -> paths, sorted; more than one is a problem."""
    folders: Mapping[str, int] = field(default_factory=dict)
    """Folder -> how many documents stand in it."""
    few: Mapping[str, Loaded] = field(default_factory=dict)
    """Those that say what others may name, by path: nodes, packs and principals."""
    by_pack: Mapping[str, Mapping[str, Loaded]] = field(default_factory=dict)
    """Pack id -> the documents in its folder, by path."""

    @classmethod
    def of(cls, loaded: Iterable[Loaded]) -> Self:
        """Make it of all documents at once."""
        return cls().apply((each.path, each) for each in loaded)

    def apply(self, changes: Iterable[tuple[str, Loaded | None]]) -> Self:
        """Give the state with files added or replaced, and removed where None."""
        files, by_identity = dict(self.files), dict(self.by_identity)
        folders, few = dict(self.folders), dict(self.few)
        in_packs: list[str] = []
        for path, loaded in changes:
            if path.startswith("packs/"):
                in_packs.append(path)
            old = files.pop(path, None)
            few.pop(path, None)
            folder = folder_of(path)
            if old is not None:
                _remove(by_identity, old)
                folders[folder] -= 1
            if loaded is None or loaded.kind == "other":
                continue
            files[path] = loaded
            folders[folder] = folders.get(folder, 0) + 1
            key = (loaded.kind, loaded.document_id)
            by_identity[key] = tuple(sorted({*by_identity.get(key, ()), path}))
            if loaded.kind in ("node", "pack", "principals"):
                few[path] = loaded
        by_pack = _by_pack(self.by_pack, in_packs, files)
        return type(self)(files, by_identity, folders, few, by_pack)

    def find(self, kind: Kind, document_id: str) -> Loaded | None:
        """The document of that name, by its first path."""
        paths = self.by_identity.get((kind, document_id))
        return self.files[paths[0]] if paths else None

    def node(self, node_id: str) -> Mapping[str, Any] | None:
        """The definition of a node, None where the repository has none."""
        found = self.find("node", node_id)
        return None if found is None else found.document

    def main_node(self) -> Loaded | None:
        """The node of ``node.yaml``."""
        return next((each for path, each in self.few.items() if is_main_node(path)), None)

    def nodes(self) -> Iterator[Mapping[str, Any]]:
        """Every node's definition."""
        return self._documents("node")

    def packs(self) -> Iterator[Mapping[str, Any]]:
        return self._documents("pack")

    def principals(self) -> list[Mapping[str, Any]]:
        return [
            entry
            for document in self._documents("principals")
            for entry in document.get("principals") or []
        ]

    def _documents(self, kind: Kind) -> Iterator[Mapping[str, Any]]:
        for each in self.few.values():
            if each.kind == kind and each.document is not None:
                yield each.document


def _by_pack(
    before: Mapping[str, Mapping[str, Loaded]], changed: Iterable[str], files: Mapping[str, Loaded]
) -> Mapping[str, Mapping[str, Loaded]]:
    touched: dict[str, list[str]] = {}
    for path in changed:
        pack = in_pack(path)[0]
        if pack is not None:
            touched.setdefault(pack, []).append(path)
    after = dict(before)
    for pack, paths in touched.items():
        inside = dict(after.pop(pack, {}))
        for path in paths:
            inside.pop(path, None)
            if path in files:
                inside[path] = files[path]
        if inside:
            after[pack] = inside
    return after


def is_main_node(path: str) -> bool:
    return path.rpartition(".")[0] == MAIN_NODE


def _remove(by_identity: dict[tuple[Kind, str], tuple[str, ...]], old: Loaded) -> None:
    key = (old.kind, old.document_id)
    left = tuple(path for path in by_identity[key] if path != old.path)
    if left:
        by_identity[key] = left
    else:
        del by_identity[key]
