"""Would a revision lock everybody out? Asked by whoever lets ``main`` move.

Beside :mod:`.judge`, not in it: what is active already stays active, and only a
change is refused.
"""

import datetime as dt
from typing import Final

from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.policy.lockout import Standing, lockout, standing
from xyn_reconciler.reconcile.judge import Judgement, Known

_ABOUT_RIGHTS: Final = frozenset({"policy", "principals", "node"})


def locked_out(known: Known, judgement: Judgement, node_id: str, now: dt.datetime) -> list[Problem]:
    """Give what a judged revision would make impossible for everybody, and the active does not."""
    touched = {change.path: judgement.state.files.get(change.path) for change in judgement.changes}
    kinds = {
        each.kind
        for path, new in touched.items()
        for each in (new, known.state.files.get(path))
        if each is not None
    }
    if known.revision is None or not (kinds & _ABOUT_RIGHTS or _begins_to_start(known.state)):
        return []
    before = _standing(known.state, node_id, known.revision)
    return lockout(before, _standing(judgement.state, node_id, judgement.revision), now)


def _standing(state: DesiredState, node_id: str, version: str) -> Standing | None:
    return standing(state.files.values(), node_id, version)


def _begins_to_start(before: DesiredState) -> bool:
    """Whether nothing started a run so far: the first trigger may meet a rule that forbids it."""
    return not any(
        each.kind == "blueprint" and each.document and each.document.get("triggers")
        for each in before.files.values()
    )
