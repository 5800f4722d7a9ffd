"""Which ref moves a push may make, as far as Git alone can tell.

Only ``refs/heads/main`` and ``refs/heads/draft/*`` are taken. What ``main``
accepts beyond that is decided by policy, above this room.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from xyn_reconciler.store.git import MAIN, Repository

DRAFTS = "refs/heads/draft/"

_DRAFT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LONGEST_DRAFT_NAME = 100


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One line of a push: ``old`` is None for a new ref, ``new`` is None for a deletion."""

    ref: str
    old: str | None
    new: str | None


def check_ref_updates(repository: Repository, updates: Sequence[RefUpdate]) -> list[str]:
    """One sentence per update to refuse; ``repository`` must see the pushed objects."""
    found = [_refusal(repository, update) for update in updates]
    return [sentence for sentence in found if sentence is not None]


def _refusal(repository: Repository, update: RefUpdate) -> str | None:
    if update.ref == MAIN:
        return _main_refusal(repository, update)
    if update.ref.startswith("refs/xyn/"):
        return f"{update.ref} is written by the node alone and cannot be pushed"
    if not update.ref.startswith(DRAFTS):
        shown = update.ref.removeprefix("refs/heads/")
        advice = re.sub(r"[^A-Za-z0-9._-]+", "-", shown.rpartition("/")[2]).strip("-.") or "name"
        return f"{shown} is not taken here: push to main, or to draft/{advice} for a review"
    name = update.ref.removeprefix(DRAFTS)
    if len(name) > _LONGEST_DRAFT_NAME or _DRAFT_NAME.fullmatch(name) is None:
        return (
            f"draft/{name[:_LONGEST_DRAFT_NAME]}: the name of a draft is up to "
            f"{_LONGEST_DRAFT_NAME} characters of A-Z a-z 0-9 . _ - and /"
        )
    if update.new is not None and _is_id(name):
        return f"draft/{name}: the name of a draft is no id: another draft may have it"
    return None


def _is_id(name: str) -> bool:
    """Whether a draft could be found by this as by its id."""
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True


def _main_refusal(repository: Repository, update: RefUpdate) -> str | None:
    if update.new is None:
        return "main cannot be deleted"
    if update.old is not None and not repository.is_ancestor(update.old, update.new):
        return "main only moves forward: fetch, rebase or merge, and push again without force"
    return None
