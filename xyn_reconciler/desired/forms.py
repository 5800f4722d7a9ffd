"""The product's first ways of writing a blueprint (seed 7.2), brought into the one shape of today.

Pure, and told nothing of problems but the clashes that only it can see: whatever
has an unknown shape is passed on for the model to refuse. The trap: a problem
has to stand where the author wrote it, so each change is noted in ``origins``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON

MAX_CANDIDATES: Final = 30
"""Steps that an output given by its name alone is looked for in; an expression has its limits."""

_GATE_OUTPUTS: Final = ("decision", "approvers", "comment", "form")


@dataclass(slots=True)
class Normal:
    """A normalised document; ``clashes`` are (place, code, message)."""

    document: dict[str, Any]
    origins: dict[Place, Place] = field(default_factory=dict)
    clashes: list[tuple[Place, str, str]] = field(default_factory=list)


def normal_blueprint(written: Mapping[str, Any]) -> Normal:
    """Give the shape that ``model.blueprint`` describes; what has an unknown shape stays."""
    normal = Normal(dict(written))
    _one_trigger(normal)
    for part in ("plan", "on_failure"):
        steps = normal.document.get(part)
        if isinstance(steps, list):
            normal.document[part] = [
                _step(normal, (part, index), step) for index, step in enumerate(steps)
            ]
    _named_list(normal, "inputs", _input)
    _named_list(normal, "outputs", _output(normal))
    triggers = normal.document.get("triggers")
    if isinstance(triggers, list):
        normal.document["triggers"] = [_condition(trigger) for trigger in triggers]
    return normal


def _one_trigger(normal: Normal) -> None:
    if "trigger" not in normal.document:
        return
    if "triggers" in normal.document:
        normal.clashes.append(
            (("trigger",), "conflicting_keys", "trigger and triggers say the same: keep triggers")
        )
        del normal.document["trigger"]
        return
    normal.document["triggers"] = [normal.document.pop("trigger")]
    normal.origins[("triggers",)] = ("trigger",)
    normal.origins[("triggers", 0)] = ("trigger",)


def _condition(part: Any) -> Any:  # noqa: ANN401 - whatever the document holds
    """``when: true`` is the expression ``true``."""
    if isinstance(part, dict) and isinstance(part.get("when"), bool):
        return {**part, "when": "true" if part["when"] else "false"}
    return part


_AGENT_KEYS: Final = (("agent", "provider"), ("prompt", "prompt_template"))


def _step(normal: Normal, place: Place, step: Any) -> Any:  # noqa: ANN401 - whatever the document holds
    if not isinstance(step, dict) or step.get("kind") != "agent_task":
        return _condition(step)
    names = dict(_AGENT_KEYS)
    for old, new in _AGENT_KEYS:
        if old in step and new in step:
            normal.clashes.append(
                ((*place, old), "conflicting_keys", f"{old} and {new} say the same: keep {new}")
            )
            step = {key: value for key, value in step.items() if key != old}
        elif old in step:
            normal.origins[(*place, new)] = (*place, old)
    return _condition({names.get(key, key): value for key, value in step.items()})


def _named_list(normal: Normal, key: str, entry: Any) -> None:  # noqa: ANN401 - a function of two
    """Make a mapping of a list of ``{name: ...}``; a list that holds anything else stays."""
    listed = normal.document.get(key)
    if not isinstance(listed, list) or not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in listed
    ):
        return
    found: dict[str, JSON] = {}
    for index, item in enumerate(listed):
        name = item["name"]
        if name in found:
            normal.clashes.append(
                ((key, index, "name"), "duplicate_id", "this name stands here a second time")
            )
            continue
        normal.origins[(key, name)] = (key, index)
        normal.origins[(key, name, "[key]")] = (key, index, "name")
        found[name] = entry(name, {k: v for k, v in item.items() if k != "name"}, (key, index))
    normal.document[key] = found


def _input(name: str, rest: dict[str, Any], _: Place) -> JSON:
    return rest if "from" in rest else {**rest, "from": f"{{{{ event.data.{name} }}}}"}


def _output(normal: Normal) -> Any:  # noqa: ANN401 - a function of two
    def entry(name: str, rest: dict[str, Any], place: Place) -> JSON:
        for key in rest:
            normal.clashes.append(
                (
                    (*place, key),
                    "unknown_key",
                    "a listed output has a name alone; to give its value write outputs: {name: …}",
                )
            )
        candidates = _candidates(normal.document.get("plan"), name)
        if len(candidates) > MAX_CANDIDATES:
            normal.clashes.append(
                (place, "bad_value", "with so many steps, say which one this comes from")
            )
        return last_output(name, candidates[-MAX_CANDIDATES:])

    return entry


def last_output(name: str, steps: Sequence[str]) -> str | None:
    """The expression of "the last step that has an output of that name, else null"."""
    chain = " | ".join(
        text if position == 0 else f"default({text})"
        for position, text in enumerate(
            f"steps.{step}.outputs[{json.dumps(name)}]" for step in steps[::-1]
        )
    )
    return f"{{{{ {chain} | default(none) }}}}" if chain else None


def _candidates(plan: object, name: str) -> list[str]:
    """The steps that may have an output of that name, in order."""
    return [
        step["id"]
        for step in (plan if isinstance(plan, list) else [])
        if isinstance(step, dict) and isinstance(step.get("id"), str) and _may_give(step, name)
    ]


def _may_give(step: Mapping[str, Any], name: str) -> bool:
    if "foreach" in step:
        return False  # its outputs are a list
    match step.get("kind"):
        case "transform":
            given = step.get("set")
            return isinstance(given, dict) and name in given
        case "gate":
            return name in _GATE_OUTPUTS
    return True
