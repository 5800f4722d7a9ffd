"""How ``main`` is moved by the node itself: judged, asked about, audited, and only then moved.

Promotions and rollbacks end here. The audit's entries are committed before the
compare-and-swap, so that there is no move which nobody accepted; an entry whose move
lost the race is harmless, for no ref is there. The trap: policies in force are
those that are applied, so :func:`settled` waits until that is ``main``.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    NeedsApprovalError,
    ProblemsError,
    XynError,
)
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.change import Asked, told
from xyn_reconciler.reconcile.lockout import locked_out
from xyn_reconciler.reconcile.push import APPLY_SECONDS
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.merged import Merged
from xyn_reconciler.store import audit
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.git_merge import Conflict

_SHOWN_BYTES: Final = 64 * 1024
"""Of each side of a conflict: as much as an error tells."""


@dataclass(frozen=True, slots=True)
class Landed:
    """``main`` moved to ``commit``; whether the node has applied it yet, and if not, why."""

    commit: str
    applied: bool
    message: str


def refuse_following(desk: Desk, settings: Mapping[str, Any]) -> None:
    """``ConflictError`` on a node whose ``main`` is another's."""
    if desk.origin is not None and settings.get("follow") == "origin":
        raise ConflictError(
            f"this node follows {desk.origin}: promote and roll back there"
            " (follow: none in this node's definition makes it independent)"
        )


def refuse_conflicts(repository: Repository, what: str, conflicts: Sequence[Conflict]) -> None:
    """``ConflictError`` with both sides of each path, where there is one."""
    if not conflicts:
        return
    details = [
        {
            "path": each.path,
            "base": _text(repository, each.base),
            "main": _text(repository, each.ours),
            "draft": _text(repository, each.theirs),
        }
        for each in conflicts
    ]
    paths = ", ".join(each.path for each in conflicts)
    raise ConflictError(f"{what} conflicts with main in {paths}", details={"conflicts": details})


def _text(repository: Repository, blob: str | None) -> str | None:
    if blob is None:
        return None
    if repository.size(blob) > _SHOWN_BYTES:
        return f"({repository.size(blob)} bytes)"
    return repository.read(blob).decode("utf-8", "replace")


def refuse_problems(desk: Desk, merged: Merged, node_id: str, now: dt.datetime) -> None:
    """``ProblemsError`` where the merged tree is not fit to be active, or locks everybody out."""
    judgement = desk.merging.judge(merged).judgement
    locked = locked_out(desk.reconciler.known(), judgement, node_id, now)
    if judgement.problems or locked:
        raise ProblemsError([*judgement.problems, *locked])


def refusal(
    what: str, asked: Sequence[Asked], reasons: Sequence[str], *, advice: str = ""
) -> XynError | None:
    """Give the error of what policies do not let pass; ``reasons`` are what is unmet, in words.

    ``advice`` is for who needs an approval.
    """
    denied = [each.decision.sentence for each in asked if each.outcome == "refused"]
    details: dict[str, Any] = {
        "unmet": list(reasons),
        "policy": [each.to_json() for each in asked],
    }
    if denied and reasons:
        return DeniedError(f"{what} is refused: {'; '.join(denied)}", details=details)
    if reasons:
        return NeedsApprovalError(f"{what} needs: {'; '.join(reasons)}{advice}", details=details)
    return None


def tell_refused(
    desk: Desk, asked: Sequence[Asked], now: dt.datetime, about: Mapping[str, str]
) -> None:
    """Note in the audit what was decided about something that did not happen."""
    with desk.database.begin() as connection:
        audit.put(connection, [told(each, now, grant_id=None, **about) for each in asked])


def accepted(
    actor: Principal, *, old: str, new: str, how: str, now: dt.datetime, **more: object
) -> AuditEntry:
    """Give the entry that comes before ``main`` moves."""
    entry = {"old": old, "new": new, "how": how, **more}
    return AuditEntry(kind="ref.accepted", actor=actor.id, at=now, subject=MAIN, entry=entry)


def settled(desk: Desk, main: str) -> None:
    """Wait, for as long as a push does, until the rules in force are those of ``main``."""
    desk.reconciler.notice()
    desk.reconciler.wait_for(main, seconds=APPLY_SECONDS)


def moved(desk: Desk, *, main: str, commit: str) -> bool:
    """Move ``main``; False where somebody was quicker."""
    crash_point("review.accepted")
    try:
        desk.repository.update_ref(MAIN, expected=main, new=commit)
    except ConflictError:
        return False
    crash_point("review.moved")
    return True


def landed(desk: Desk, commit: str) -> Landed:
    """Have it applied, and wait for that as a push does."""
    desk.reconciler.notice()
    outcome = desk.reconciler.wait_for(commit, seconds=APPLY_SECONDS)
    if outcome.attempted:
        return Landed(commit, outcome.applied, outcome.message)
    late = f"it is in main, and the node did not come to apply it within {APPLY_SECONDS:.0f} s"
    return Landed(commit, applied=False, message=late)


def author(actor: Principal) -> str:
    return f"{actor.id} <{actor.id}@xyn>"


def policy_trailers(asked: Sequence[Asked]) -> list[str]:
    """Give a line for each policy that decided."""
    decisions = (each.decision for each in asked)
    found = (
        f"Policy: {each.policy_id}@{each.version} {each.rule_id}"
        for each in decisions
        if each.policy_id is not None
    )
    return list(dict.fromkeys(found))
