"""What is different between two replays of one event, in words. Pure."""

import json
from collections.abc import Iterator
from typing import Any, Final

from xyn_reconciler.model.run import canonical
from xyn_reconciler.review.replay import Replayed, StepEnd

_SHOWN: Final = 120


def differences(main: Replayed, draft: Replayed) -> list[str]:
    """Say each; none where a reviewer need not look."""
    return list(_differences(main, draft))


def _differences(main: Replayed, draft: Replayed) -> Iterator[str]:
    if _end(main) != _end(draft):
        yield f"the run: {_end(main)} -> {_end(draft)}"
    before = {step.key: step for step in main.steps}
    after = {step.key: step for step in draft.steps}
    for key, step in after.items():
        if key not in before:
            yield f"step {key} is new: {step.status}"
        else:
            yield from _of_step(before[key], step)
    for key, step in before.items():
        if key not in after:
            yield f"step {key} is gone: it was {step.status}"
    for gate in draft.gates:
        if gate not in main.gates and gate in before:
            yield f"gate {gate} would ask people again"
    yield from _of_values("output", main.outputs, draft.outputs)


def _of_step(before: StepEnd, after: StepEnd) -> Iterator[str]:
    key = before.key
    if before.kind != after.kind:
        yield f"step {key}: {before.kind} -> {after.kind}"
    if _step_end(before) != _step_end(after):
        yield f"step {key}: {_step_end(before)} -> {_step_end(after)}"
    yield from _of_values(f"step {key}: input", before.inputs, after.inputs)
    yield from _of_values(f"step {key}: output", before.outputs, after.outputs)


def _of_values(what: str, before: Any, after: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if _same(before, after):
        return
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield f"{what}s: {_short(before)} -> {_short(after)}"
        return
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"{what} {name} is gone: it was {_short(before[name])}"
        elif name not in before:
            yield f"{what} {name} is new: {_short(after[name])}"
        elif not _same(before[name], after[name]):
            yield f"{what} {name}: {_short(before[name])} -> {_short(after[name])}"


def _same(before: Any, after: Any) -> bool:  # noqa: ANN401 - any JSON value
    return canonical(before) == canonical(after)


def _end(found: Replayed) -> str:
    return found.status if found.error is None else f"{found.status} ({_why(found.error)})"


def _step_end(step: StepEnd) -> str:
    return step.status if step.error is None else f"{step.status} ({_why(step.error)})"


def _why(error: dict[str, Any]) -> str:
    return f"{error.get('code')}: {_cut(str(error.get('message')))}"


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return _cut(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
