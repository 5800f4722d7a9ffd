"""A run again: what of it is kept, what is done anew. Pure.

Steps that came to an end in the first run keep it, but for the step to begin
from, all that comes after that one, and the gates before any of them: an
approval is used once, so people are asked again.
"""

from collections.abc import Mapping

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.run import ExecutionPlan, StepStatus
from xyn_reconciler.run.decide import gates_before

_KEPT = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


class UnknownStepError(InvalidError):
    """The plan has no step of that name."""

    code = "unknown_step"


def kept(
    plan: ExecutionPlan, statuses: Mapping[str, StepStatus], from_step: str | None
) -> list[str]:
    """Give the keys of the steps that keep their ends, in the plan's order.

    ``statuses`` are those of the first run. None are kept from the start. A
    step that failed although it was allowed to is done again with the rest.
    """
    if from_step is None:
        return []
    if all(step.key != from_step for step in plan.steps):
        known = ", ".join(step.key for step in plan.steps)
        raise UnknownStepError(f"the plan has no step {from_step!r}; it has {known}")
    anew = _from(plan, from_step)
    anew |= {step.key for step in plan.steps if statuses.get(step.key) not in _KEPT}
    anew |= {gate for key in anew for gate in gates_before(plan, key)}
    return [step.key for step in plan.steps if step.key not in anew]


def _from(plan: ExecutionPlan, key: str) -> set[str]:
    found = {key}
    while more := {s.key for s in plan.steps if found.intersection(s.needs)} - found:
        found |= more
    return found
