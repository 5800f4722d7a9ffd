"""Bind the agent room to the network of the action room, which do not see each other."""

from dataclasses import replace
from typing import TYPE_CHECKING

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.agent.router import AgentTask

if TYPE_CHECKING:
    from xyn_reconciler.action.connection import Transport


def agent_task() -> AgentTask[ActionContext]:
    """Give what runs steps of kind ``agent_task`` on this node."""
    return AgentTask(connect=_network)


def _network(context: ActionContext, address: str | None) -> "Transport":
    from xyn_reconciler.action.connection import (  # noqa: PLC0415 - its HTTP client takes 5 MiB
        Transport,
        tls_context,
    )

    allowed = () if address is None else (address,)
    return Transport(replace(context, egress=(*context.egress, *allowed)), tls_context())
