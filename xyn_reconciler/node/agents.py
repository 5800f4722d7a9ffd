"""Bind the agent room to what it does not see: the network of actions, the database, secrets."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.agent.budget import SetAside, Used
from xyn_reconciler.agent.router import AgentTask, Surroundings
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.store import desired, token_claims
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.patience import patiently

if TYPE_CHECKING:
    from xyn_reconciler.action.connection import Transport

Clock = Callable[[], dt.datetime]


def agent_task(
    database: Database, redact: Callable[[str], str], clock: Clock
) -> AgentTask[ActionContext]:
    """Give what runs steps of kind ``agent_task`` on this node."""
    return AgentTask(
        Surroundings(
            connect=network,
            redact=redact,
            set_aside=set_aside(database, clock),
            # What was answered is not lost with a connection.
            prices=lambda: patiently(lambda: prices(database)),
        )
    )


def network(context: ActionContext, address: str | None) -> "Transport":
    """Give the network of one attempt, to where egress allows and to ``address``."""
    # Their HTTP client takes 5 MiB.
    from xyn_reconciler.action.connection import Transport  # noqa: PLC0415 - as said above
    from xyn_reconciler.action.tls import tls_context  # noqa: PLC0415 - as said above

    allowed = () if address is None else (address,)
    return Transport(replace(context, egress=(*context.egress, *allowed)), tls_context())


def set_aside(database: Database, clock: Clock) -> SetAside:
    """Give what sets tokens aside in this node's database."""

    def claim(
        run_id: uuid.UUID, step_id: uuid.UUID, decide: Callable[[Used], int]
    ) -> Callable[[int], None]:
        return patiently(lambda: set_one_aside(run_id, step_id, decide))

    def set_one_aside(
        run_id: uuid.UUID, step_id: uuid.UUID, decide: Callable[[Used], int]
    ) -> Callable[[int], None]:
        claim_id, now = new_id(), clock()
        with database.begin() as connection:
            tokens = decide(token_claims.used(connection, run_id, step_id, now))
            token_claims.claim(
                connection, claim_id, run_id=run_id, step_id=step_id, tokens=tokens, now=now
            )

        def settle(used: int) -> None:
            with database.begin() as connection:
                token_claims.settle(connection, claim_id, used)

        return lambda used: patiently(lambda: settle(used))

    return claim


def prices(database: Database) -> Mapping[str, Any] | None:
    """Give the table of prices that is active."""
    with database.read() as connection:
        found = desired.find_document(connection, "prices", "prices")
    return None if found is None else found.document
