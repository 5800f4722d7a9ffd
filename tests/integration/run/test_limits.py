"""The safety rails of seed 38.2 and the engine's own, each at its edge."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.run import PlanNode
from xyn_reconciler.run import limits
from xyn_reconciler.run.compile import compile_run


def transforms(count: int) -> list[dict[str, Any]]:
    return [{"id": f"s{number}", "kind": "transform"} for number in range(count)]


def act(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": "act", "kind": "action_task", "action": "demo.act", "with": {}, **more}


def test_a_plan_has_at_most_200_steps_those_of_on_failure_included(bench: Bench) -> None:
    fits = bench.run({"plan": transforms(199), "on_failure": [{"id": "f", "kind": "transform"}]})
    too_long = bench.run({"plan": transforms(200), "on_failure": [{"id": "f", "kind": "gate"}]})

    assert fits.status == "completed"
    assert too_long.error is not None
    assert (too_long.status, too_long.error["code"]) == ("failed", "too_many_steps")


@pytest.mark.parametrize(("most", "error"), [(3, None), (2, "too_many_steps")])
def test_the_node_says_how_many_steps_a_plan_may_have(most: int, error: str | None) -> None:
    node = PlanNode(id="seed", env_id="local", stage="dev", limits={"max_steps": most})

    compiled = compile_run(
        {"id": "bp.test", "plan": transforms(3)},
        path="blueprints/test.yaml",
        blob_id=f"limit-{most}",
        files={},
        node=node,
        event=None,
        given={},
    )

    assert (compiled.error or {}).get("code") == error


@pytest.mark.parametrize(("minutes", "status"), [(59, "completed"), (60, "failed"), (61, "failed")])
def test_a_run_that_names_no_timeout_has_60_minutes(
    bench: Bench, minutes: int, status: str
) -> None:
    def fail_once(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        assert context.attempt > 1
        return {}

    bench.actions["demo.act"] = Tool("demo.act", fail_once)
    retry = {"max_attempts": 2, "delay": "59m", "max_delay": "59m", "on": "any"}
    run_id = bench.run({"plan": [act(retry=retry)]}).run_id

    bench.late = dt.timedelta(minutes=minutes)
    bench.worker().advance(run_id)

    run = bench.shown(run_id)
    assert run.status == status
    assert (run.error or {}).get("code") == (None if status == "completed" else "run_timeout")


def test_time_spent_waiting_for_people_does_not_count(bench: Bench) -> None:
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    run_id = bench.run({"plan": [gate, {"id": "end", "kind": "transform"}]}).run_id

    bench.late = dt.timedelta(days=30)
    bench.decide(run_id, "ok", "approved")
    bench.worker().advance(run_id)

    assert bench.shown(run_id).status == "completed"


def test_a_foreach_has_at_most_a_thousand_items(bench: Bench) -> None:
    each = {"id": "each", "kind": "transform", "set": {"n": "{{ item }}"}}
    document = {"inputs": {"items": {"type": "array"}}}

    fits = bench.run(
        {**document, "plan": [{**each, "foreach": "{{ inputs.items }}", "max_parallel": 32}]},
        {"items": list(range(limits.MAX_ITEMS))},
    )
    too_many = bench.run(
        {**document, "plan": [{**each, "foreach": "{{ inputs.items }}"}]},
        {"items": list(range(limits.MAX_ITEMS + 1))},
    )

    assert fits.status == "completed"
    assert len(bench.steps(fits.run_id)["each"].outputs) == limits.MAX_ITEMS
    assert too_many.error is not None
    assert too_many.error["code"] == "too_many_items"


def test_an_artifact_of_a_step_has_at_most_as_many_bytes_as_the_node_allows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ARTIFACT_MAX", 10)

    def keep(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        assert context.artifact is not None
        content = b"x" * int(inputs["n"])
        kept = context.artifact(name="out", kind="file", content_type="text/plain", content=content)
        return {"artifact_id": str(kept)}

    bench.actions["demo.act"] = Tool("demo.act", keep)

    fits = bench.run({"plan": [act(**{"with": {"n": 10}})]})
    too_large = bench.run({"plan": [act(**{"with": {"n": 11}})]})

    assert fits.status == "completed"
    assert {"artifact.created", "artifact.attached"} <= set(bench.told(fits.run_id))
    assert too_large.error is not None
    assert too_large.error["code"] == "too_large"
    assert "artifact.created" not in bench.told(too_large.run_id)


def test_a_log_keeps_whole_lines_up_to_its_limit_and_counts_the_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_LOG", 2000)

    def talk(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        for number in range(50):
            context.log(f"line {number}")
        return {}

    bench.actions["demo.act"] = Tool("demo.act", talk)

    lines = bench.log(bench.run({"plan": [act()]}).run_id).splitlines()

    assert "more lines were not kept" in lines[-1]
    assert all(line.endswith("}") for line in lines)
