"""Tokens that questions to models may use: set aside before one is asked, settled after.

A claim counts with the most that its question may use until it is settled; one whose
worker died stays so, for nobody knows what the provider did: it is taken for used once its
run is taken up again, and after :data:`UNDER_WAY` in any case. Claims are of this database
alone: after a rebuild the footprints of the records count in their place.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text

from xyn_reconciler.store.database import Connection, lock_in_transaction

_LOCK = "xyn.tokens"


UNDER_WAY: Final = dt.timedelta(minutes=15)
"""Longer than an attempt without a timeout of its own takes."""

_OF_RUN = text(
    "SELECT coalesce(sum(tokens) FILTER (WHERE mine AND NOT open), 0),"
    " coalesce(sum(tokens) FILTER (WHERE mine AND open), 0),"
    " coalesce(sum(tokens) FILTER (WHERE NOT open), 0),"
    " coalesce(sum(tokens) FILTER (WHERE open), 0)"
    " FROM (SELECT tokens, step_id = :step_id AS mine,"
    " NOT settled AND claimed_at > :since AS open"
    " FROM token_claims WHERE run_id = :run_id) AS c"
)
_OF_DAY = text(
    "SELECT coalesce(sum(tokens) FILTER (WHERE NOT open), 0)"
    " + (SELECT coalesce(sum(quantity), 0) FROM footprints f"
    " WHERE metric IN ('tokens_in', 'tokens_out') AND occurred_at >= :midnight"
    " AND NOT EXISTS (SELECT FROM token_claims c WHERE c.run_id = f.run_id)),"
    " coalesce(sum(tokens) FILTER (WHERE open), 0)"
    " FROM (SELECT tokens, NOT settled AND claimed_at > :since AS open"
    " FROM token_claims WHERE claimed_at >= :midnight) AS c"
)
_CLAIM = text(
    "INSERT INTO token_claims (claim_id, run_id, step_id, tokens, claimed_at)"
    " VALUES (:claim_id, :run_id, :step_id, :tokens, :now)"
)
_ABANDON = text(
    "UPDATE token_claims SET settled = true WHERE run_id = ANY(:run_ids) AND NOT settled"
)
_SETTLE = text(
    "UPDATE token_claims SET tokens = :tokens, settled = true WHERE claim_id = :claim_id"
)


def used(
    connection: Connection, run_id: uuid.UUID, step_id: uuid.UUID, now: dt.datetime
) -> Mapping[str, tuple[int, int]]:
    """Add up by ``step``, ``run`` and ``day`` (that of ``now``, in UTC): used, under way.

    The transaction holds a lock, so that no two questions are given the same tokens.
    """
    lock_in_transaction(connection, _LOCK)
    midnight = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = {"run_id": run_id, "step_id": step_id, "since": now - UNDER_WAY, "midnight": midnight}
    of_run = connection.execute(_OF_RUN, asked).one()
    of_day = connection.execute(_OF_DAY, asked).one()
    return {
        "step": (int(of_run[0]), int(of_run[1])),
        "run": (int(of_run[2]), int(of_run[3])),
        "day": (int(of_day[0]), int(of_day[1])),
    }


def claim(
    connection: Connection,
    claim_id: uuid.UUID,
    *,
    run_id: uuid.UUID,
    step_id: uuid.UUID,
    tokens: int,
    now: dt.datetime,
) -> None:
    """Set tokens aside."""
    given = {"claim_id": claim_id, "run_id": run_id, "step_id": step_id}
    connection.execute(_CLAIM, {**given, "tokens": tokens, "now": now})


def settle(connection: Connection, claim_id: uuid.UUID, tokens: int) -> None:
    """Say what a question used in the end."""
    connection.execute(_SETTLE, {"claim_id": claim_id, "tokens": tokens})


def abandon(connection: Connection, run_ids: Sequence[uuid.UUID]) -> None:
    """Take what a dead worker had under way for these runs for used: nobody waits for its end."""
    connection.execute(_ABANDON, {"run_ids": list(run_ids)})
