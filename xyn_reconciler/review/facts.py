"""Gather what an assessment rests on, from rows and commits, as it is at this moment."""

import datetime as dt

from xyn_reconciler.desired.effects import NextTimes
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.review.assess import Facts, InForce
from xyn_reconciler.review.merged import Merging
from xyn_reconciler.store import desired, grants, reviews
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.reviews import Review


def in_force(database: Database, reconciler: Reconciler) -> InForce:
    """Give what rules here now."""
    known = reconciler.known()
    with database.read() as connection:
        node = desired.read_node(connection)
    return InForce(
        node_id=node.node_id,
        settings=node.settings,
        state=known.state,
        revision=known.revision or "",
    )


def gather(
    database: Database,
    reconciler: Reconciler,
    merging: Merging,
    review: Review,
    *,
    main: str,
    actor: Principal,
    next_times: NextTimes,
    now: dt.datetime,
) -> Facts:
    """Give the facts about a review's newest iteration merged with ``main``, for ``actor``.

    Call it outside of transactions: it opens its own.
    """
    merged = merging.of(main, review.head)
    judged = merging.judge(merged)
    ruling = in_force(database, reconciler)
    with database.read() as connection:
        return Facts(
            review=review,
            main=main,
            before=judged.before,
            after=judged.judgement.state,
            differing=merged.differing,
            conflicts=[each.path for each in merged.conflicts],
            checks=reviews.checks(connection, review.draft_id, review.iteration),
            votes=reviews.votes(connection, review.draft_id),
            authors=reviews.authors(connection, review, merged.brings),
            in_force=ruling,
            actor=actor,
            grant_id=grants.open_grant(connection, actor, now),
            next_times=next_times,
            now=now,
        )
