"""From claimed rows to journals: each run with its plan and all that happened to it so far."""

from collections.abc import Sequence

from xyn_reconciler.model.run import ExecutionPlan
from xyn_reconciler.run.equipment import Equipment
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.store import stories
from xyn_reconciler.store.claims import Claimed
from xyn_reconciler.store.database import Connection


def journals(connection: Connection, claimed: Sequence[Claimed], own: Equipment) -> list[Journal]:
    """Read what is to be known of runs that were just claimed; plans are kept by their digests."""
    touched = [one.run_id for one in claimed if not one.untouched]
    told = stories.load_stories(connection, touched)
    digests = {one.plan_digest for one in claimed}
    unknown = {digest for digest in digests if own.plans.get(digest) is None}
    if unknown:
        for digest, plan in stories.load_plans(connection, unknown).items():
            own.plans.put(digest, plan)
    return [Journal(one, _plan(one, own), told.get(one.run_id), own.redactor) for one in claimed]


def _plan(claimed: Claimed, own: Equipment) -> ExecutionPlan:
    plan = own.plans.get(claimed.plan_digest)
    if plan is None:
        raise LookupError(f"run {claimed.run_id} has no plan {claimed.plan_digest}")
    return plan
