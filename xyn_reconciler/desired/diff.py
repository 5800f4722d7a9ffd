"""What a commit changes, in words that a reviewer thinks in.

Pure: two desired states in, a list of :class:`Change` out, the same list each time.
Only files whose bytes differ are looked at. Documents are paired by what they are
called and then by path, so that a renamed file is no removal and a renamed document
hides nothing. Opaque files are no documents: the text diff shows those.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.desired.blueprint_checks import find_secret_refs
from xyn_reconciler.desired.diff_blueprint import blueprint_changes
from xyn_reconciler.desired.diff_documents import WEIGHTS, document_changes
from xyn_reconciler.desired.diff_packs import KINDS as PACK_KINDS
from xyn_reconciler.desired.diff_packs import pack_changes
from xyn_reconciler.desired.diff_words import Change, Told, Weight
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.state import DesiredState

__all__ = ["Change", "Pair", "Weight", "diff", "newly_named", "pairs", "secrets"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One document before and after; None where it is not there."""

    old: Loaded | None
    new: Loaded | None

    @property
    def loaded(self) -> Loaded:
        """As it is afterwards; of what is gone, as it was."""
        found = self.old if self.new is None else self.new
        if found is None:
            raise ValueError("a pair has at least one of both")
        return found


def diff(before: DesiredState, after: DesiredState) -> list[Change]:
    """Say what is different, by path; within a file in the order of the document."""
    return [change for pair in pairs(before, after) for change in _changes(pair, after)]


_SAME: Final[tuple[Callable[[Loaded], tuple[str, ...]], ...]] = (
    lambda each: (each.kind, each.document_id, each.path),
    lambda each: (each.kind, each.document_id),
    lambda each: (each.kind, each.path),
    lambda each: (each.kind, each.blob_id),  # a prompt or a test that moved: its path is its name
)
"""What makes a file that came the same document as one that went, the surest first."""


def pairs(before: DesiredState, after: DesiredState) -> list[Pair]:
    """Give the documents that differ, by path."""
    gone, come = _without_equal(before, after), _without_equal(after, before)
    found: list[Pair] = []
    for key in _SAME:
        waiting = {key(gone[path]): path for path in sorted(gone, reverse=True)}
        for path in sorted(come):
            partner = waiting.pop(key(come[path]), None)
            if partner is not None:
                found.append(Pair(gone.pop(partner), come.pop(path)))
    found += [Pair(old, None) for old in gone.values()]
    found += [Pair(None, new) for new in come.values()]
    return sorted(found, key=lambda pair: (pair.loaded.path, pair.new is not None))


def _without_equal(state: DesiredState, other: DesiredState) -> dict[str, Loaded]:
    return {
        path: loaded
        for path, loaded in state.files.items()
        if (same := other.files.get(path)) is None or same.blob_id != loaded.blob_id
    }


# ── One document ─────────────────────────────────────────────────────────────────────────────────


def _changes(pair: Pair, after: DesiredState) -> Iterator[Change]:
    loaded = pair.loaded
    for words, weight, name in _told(pair, after):
        yield Change(loaded.path, loaded.kind, loaded.document_id, words, weight, name)


def _told(pair: Pair, after: DesiredState) -> Iterator[Told]:
    old, new = pair.old, pair.new
    weight = WEIGHTS.get(pair.loaded.kind, "other")
    if new is None:
        yield f"{title(pair.loaded)} removed", weight, None
        if pair.loaded.kind in PACK_KINDS:
            yield from pack_changes(old, new, after)
        return
    if old is None:
        yield f"{title(new)} added", weight, None
    elif old.path != new.path:
        yield f"file {old.path} is now {new.path}", "other", None
    if new.document is None:
        yield f"{new.path} cannot be read: see its problems", weight, None
        return
    if old is not None and old.document is None:
        old = None
    changes = blueprint_changes if new.kind == "blueprint" else document_changes
    yield from changes(old, new)
    if new.kind == "prompt" and old is not None and old.blob_id != new.blob_id:
        yield from _asked_by(new.path, after)
    if new.kind in PACK_KINDS:
        yield from pack_changes(old, new, after)
    known = set[str]() if old is None else secrets(old)
    for secret in sorted(secrets(new) - known):
        yield f"references secret {secret}", "secret_added", secret


def title(loaded: Loaded) -> str:
    """What a document is called: ``blueprint bp.x``."""
    if loaded.kind in ("principals", "known_hosts"):
        return loaded.kind
    if loaded.kind == "pack_settings":
        return f"settings of pack {loaded.document_id}"
    if loaded.kind == "pack_file":
        return f"file {loaded.path}"
    if loaded.kind == "policy" and loaded.document is not None:
        return f"policy {loaded.document['name']}"
    return f"{loaded.kind} {loaded.document_id}"


def _asked_by(path: str, after: DesiredState) -> Iterator[Told]:
    asking = sorted(
        f"{loaded.document_id}"
        for loaded in after.files.values()
        if any(reference.name == path for reference in loaded.named("prompt"))
    )
    if asking:
        yield f"asked by {', '.join(asking)}", "other", None


def newly_named(before: Iterable[Loaded], after: Iterable[Loaded]) -> set[str]:
    """Give the secrets that documents reference and, of the same id, did not before."""
    known = {(each.document_id, name) for each in before for name in secrets(each)}
    return {
        name for each in after for name in secrets(each) if (each.document_id, name) not in known
    }


def secrets(loaded: Loaded) -> set[str]:
    """The secrets that a document references."""
    found = {reference.name for reference in loaded.named("secret")}
    if loaded.kind == "node":
        found |= {name for _, name in find_secret_refs(loaded.document)}
    return found
