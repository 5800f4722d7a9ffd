"""What no policy can allow: no service or agent approves, promotes, forgets or changes policy.

:func:`xyn_reconciler.policy.evaluate.evaluate` asks here first, and
:mod:`xyn_reconciler.policy.requirements` counts only approvals of people. What
changes who people are, or which rules hold on a node, changes policy too.
"""

from typing import Final

from xyn_reconciler.model.principal import Principal

FOR_PEOPLE: Final = (
    "identity.*",
    "node.change",
    "policy.*",
    "secret.change",
    "*.approve",
    "*.promote",
    "*.forget",
)
"""Actions that only a person may take, with ``*`` as first or last segment."""


def may_approve(principal: Principal) -> bool:
    """Whether a principal's yes may count at all."""
    return principal.kind == "person"


def refusal(actor: Principal, action: str) -> str | None:
    """Say why the kernel refuses this; None where policies may decide."""
    if actor.kind == "person" or not any(_means(pattern, action) for pattern in FOR_PEOPLE):
        return None
    return (
        f"{action} is for people: {actor.id} is of kind {actor.kind}, and no policy can allow"
        " a service or an agent to approve, to promote, to forget or to change policy"
    )


def _means(pattern: str, action: str) -> bool:
    if pattern.startswith("*"):
        return action.endswith(pattern[1:])
    return action.startswith(pattern[:-1]) if pattern.endswith("*") else action == pattern
