"""Compile a blueprint for one run: every default filled in, every file read, inputs checked.

Pure. ``trigger`` is handed :func:`compile_run`; the plan is the same for every
run of an unchanged blueprint on an unchanged node, so it is cached here and
stored once by its digest. Templates stay text: they are rendered when their
step runs.
"""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.desired.packs import log_in, used_packs
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.model.capability import CompiledRun
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.routing import order
from xyn_reconciler.model.run import (
    ExecutionPlan,
    GateApprovals,
    PlannedStep,
    PlanNode,
    PlanPack,
    RetryPolicy,
    canonical,
    digest,
)
from xyn_reconciler.model.units import parse_duration
from xyn_reconciler.run import limits
from xyn_reconciler.run.scope import event_roots, with_vars

Inputs = dict[str, Any]
Error = dict[str, Any]

_LONGEST_KEY: Final = 500

_NO_PACKS: Final[Mapping[str, PlanPack]] = MappingProxyType({})

_OWN_KEYS: Final = frozenset({"from", "default"})
"""Keys of an input that are the language's; all others are JSON Schema."""


def seconds(duration: str) -> float:
    """Give a duration of the language in seconds: ``"10m"`` is 600.0."""
    return parse_duration(duration).total_seconds()


def compile_run(  # noqa: PLR0913 - all that a plan is made of
    document: Mapping[str, Any],
    *,
    path: str,
    blob_id: str,
    files: Mapping[str, str],
    node: PlanNode,
    event: Event | None,
    given: Mapping[str, Any] | None,
    packs: Mapping[str, PlanPack] = _NO_PACKS,
    known_hosts: str = "",
) -> CompiledRun:
    """Compile for one event, or for inputs given by hand (:class:`~…capability.CompileRun`)."""
    plan, plan_digest = _cached_plan(
        _Document(document, path, blob_id),
        _hashable(files),
        node.model_dump_json(),
        _Packs(packs),
        known_hosts,
    )
    if len(plan.steps) + len(plan.on_failure) > limits.max_steps(node):
        return CompiledRun(plan, plan_digest, {}, _too_many_steps(plan, node))
    inputs, error = compile_inputs(plan, event, given)
    if error is not None or plan.concurrency is None:
        return CompiledRun(plan, plan_digest, inputs, error)
    try:
        key = concurrency_key(plan, event_roots(node, event) | {"inputs": inputs})
    except ExpressionError as failure:
        error = {"code": failure.failure_code, "message": f"concurrency: {failure.message}"}
        return CompiledRun(plan, plan_digest, inputs, error)
    return CompiledRun(plan, plan_digest, inputs, concurrency_key=key)


def concurrency_key(plan: ExecutionPlan, roots: Mapping[str, Any]) -> str:
    """Give what runs of a blueprint share their limit by; raises ``ExpressionError``.

    ASCII, and never long: whatever the value is, it can stand in an index.
    """
    value = render_value((plan.concurrency or {})["key"], with_vars(plan, roots))
    key = canonical([plan.blueprint_id, value]).decode()
    return key if len(key) <= _LONGEST_KEY else f"{plan.blueprint_id[:200]} {digest(value)}"


class _Document:
    """A document that the cache compares by its path and blob, not by its content."""

    def __init__(self, document: Mapping[str, Any], path: str, blob_id: str) -> None:
        self.document = document
        self.key = (path, blob_id)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Document) and self.key == other.key


class _Packs:
    """Whole packs that the cache compares by their digests and settings."""

    def __init__(self, packs: Mapping[str, PlanPack]) -> None:
        self.packs = packs
        self.key = tuple(
            (name, pack.digest, canonical(pack.settings)) for name, pack in sorted(packs.items())
        )

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Packs) and self.key == other.key


def _hashable(files: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(files.items()))


@functools.lru_cache(maxsize=512)
def _cached_plan(
    source: _Document,
    files: tuple[tuple[str, str], ...],
    node: str,
    packs: _Packs,
    known_hosts: str,
) -> tuple[ExecutionPlan, str]:
    path, blob_id = source.key
    plan = compile_plan(
        source.document,
        path=path,
        blob_id=blob_id,
        files=dict(files),
        node=PlanNode.model_validate_json(node),
        packs=packs.packs,
        known_hosts=known_hosts,
    )
    return plan, plan.digest()


def _too_many_steps(plan: ExecutionPlan, node: PlanNode) -> Error:
    count, most = len(plan.steps) + len(plan.on_failure), limits.max_steps(node)
    return {
        "code": "too_many_steps",
        "message": f"the plan has {count} steps, and this node runs at most {most};"
        " split it, or raise limits.max_steps in node.yaml",
        "details": {"steps": count, "limit": most},
    }


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────


def compile_plan(
    document: Mapping[str, Any],
    *,
    path: str,
    blob_id: str,
    files: Mapping[str, str],
    node: PlanNode,
    packs: Mapping[str, PlanPack] = _NO_PACKS,
    known_hosts: str = "",
) -> ExecutionPlan:
    """Compile a normalised, valid blueprint document; ``files`` has what ``prompt_file`` names."""
    defaults = document.get("defaults") or {}
    timeout = document.get("timeout")
    actions = {step["action"] for _, step in each_step(document) if "action" in step}
    used = used_packs(packs, actions)
    return ExecutionPlan(
        blueprint_id=document["id"],
        blueprint_name=document.get("name") or document["id"],
        path=path,
        blob_id=blob_id,
        node=node,
        inputs=document.get("inputs") or {},
        vars=document.get("vars") or {},
        steps=_steps(document.get("plan") or (), defaults, files, node),
        on_failure=_steps(document.get("on_failure") or (), defaults, files, node),
        outputs=document.get("outputs") or {},
        timeout=limits.run_timeout(node, None if timeout is None else seconds(timeout)),
        concurrency=document.get("concurrency"),
        packs=used,
        known_hosts=known_hosts if log_in(used, actions) else "",
    )


def _steps(
    documents: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, Any],
    files: Mapping[str, str],
    node: PlanNode,
) -> tuple[PlannedStep, ...]:
    steps: list[PlannedStep] = []
    for document in documents:
        before = (steps[-1].key,) if steps else ()
        steps.append(_step(document, before, defaults, files, node))
    return tuple(steps)


def _step(
    document: Mapping[str, Any],
    before: tuple[str, ...],
    defaults: Mapping[str, Any],
    files: Mapping[str, str],
    node: PlanNode,
) -> PlannedStep:
    kind = document["kind"]
    if kind != "gate":
        document = {**defaults, **document} | _merged_retry(defaults, document)
    needs = document.get("needs")
    timeout = document.get("timeout")
    common: dict[str, Any] = {
        "key": document["id"],
        "kind": kind,
        "name": document.get("name") or document["id"],
        "needs": before if needs is None else tuple(needs),
        "when": _when(document.get("when")),
        "foreach": document.get("foreach"),
        "max_parallel": document.get("max_parallel", 1),
        "timeout": None if timeout is None else seconds(timeout),
        "continue_on_error": document.get("continue_on_error", False),
        "idempotency_key": document.get("idempotency_key"),
    }
    if kind == "gate":
        return PlannedStep(**common, **_gate(document))
    common["retry"] = _retry(document.get("retry") or {})
    if kind == "agent_task":
        asked = _agent_task(document, files)
        if "max_attempts" not in (document.get("retry") or {}):
            # Each of the fallback order is an attempt of its own.
            others = len(order(node.providers, node.models, asked["provider"], asked["model"]))
            common["retry"] = common["retry"].model_copy(update={"max_attempts": max(others, 1)})
        return PlannedStep(**common, **asked)
    common["action"] = document.get("action")
    common["with"] = document.get("with") or {}
    common["set"] = document.get("set") or {}
    return PlannedStep(**common)


def _merged_retry(defaults: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    if "retry" in defaults and "retry" in document:
        return {"retry": {**defaults["retry"], **document["retry"]}}
    return {}


def _when(value: object) -> str | None:
    """``when: true`` in YAML is the expression ``true``."""
    if value is None or isinstance(value, str):
        return value
    return canonical(value).decode()


def _retry(document: Mapping[str, Any]) -> RetryPolicy:
    times = {name: seconds(document[name]) for name in ("delay", "max_delay") if name in document}
    return RetryPolicy.model_validate({**document, **times})


def _gate(document: Mapping[str, Any]) -> dict[str, Any]:
    approvals = dict(document.get("approvals") or {})
    if "from_any_of" in approvals:
        approvals["from_any_of"] = tuple(approvals["from_any_of"])
    return {
        "mode": document.get("mode"),
        "approvals": GateApprovals(**approvals),
        "on_timeout": document.get("on_timeout", "reject"),
        "form": document.get("form"),
    }


def _agent_task(document: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    prompt_file = document.get("prompt_file")
    return {
        "provider": document.get("provider"),
        "model": document["model"],
        "prompt": files[prompt_file] if prompt_file else document.get("prompt_template"),
        "prompt_file": prompt_file,
        "output_schema": document.get("output_schema"),
        "budget": document.get("budget") or {},
    }


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────


def compile_inputs(
    plan: ExecutionPlan, event: Event | None, given: Mapping[str, Any] | None
) -> tuple[Inputs, Error | None]:
    """Give the inputs of one run, or ``({…}, error)`` with code ``invalid_inputs``.

    An input is what was given by hand, else what ``from`` finds in the event,
    else its ``default``; one that has none of them is an error.
    """
    given = given or {}
    roots = event_roots(plan.node, event)
    inputs: Inputs = {}
    wrong: dict[str, str] = {
        name: "there is no such input" for name in given if name not in plan.inputs
    }
    for name, schema in plan.inputs.items():
        try:
            found, value = _input(name, schema, given, roots)
        except ExpressionError as error:
            wrong[name] = error.message
            continue
        if not found:
            wrong[name] = "it has no value: give one, or set a default"
            continue
        problem = _input_mismatch(schema, value)
        if problem is not None:
            wrong[name] = problem
        inputs[name] = value
    if not wrong:
        return inputs, None
    listed = "; ".join(f"{name}: {problem}" for name, problem in wrong.items())
    return inputs, {
        "code": "invalid_inputs",
        "message": f"the inputs do not fit: {listed}",
        "details": {"inputs": wrong},
    }


def _input(
    name: str, schema: Mapping[str, Any], given: Mapping[str, Any], roots: Mapping[str, Any]
) -> tuple[bool, Any]:
    if name in given:
        return True, given[name]
    if "from" in schema and "event" in roots:
        try:
            return True, render_value(schema["from"], roots)
        except ExpressionError as error:
            if error.failure_code != "undefined_value" or "default" not in schema:
                raise
    if "default" in schema:
        return True, schema["default"]
    return False, None


def _input_mismatch(schema: Mapping[str, Any], value: object) -> str | None:
    return mismatch({key: rule for key, rule in schema.items() if key not in _OWN_KEYS}, value)


def mismatch(schema: Mapping[str, Any], value: object) -> str | None:
    """Say where and how a value does not fit a JSON Schema; ``None`` where it fits."""
    # 4 MiB that a worker needs where a blueprint has rules for values, and not before.
    from xyn_reconciler.model.schema_check import mismatch as found  # noqa: PLC0415 - as said

    return found(schema, value)
