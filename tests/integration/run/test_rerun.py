"""A run again: from the start or from a step, on its revision or another."""

import datetime as dt
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.dto import RunDto
from xyn_reconciler.model.errors import ConflictError, PermanentError
from xyn_reconciler.model.principal import OPERATOR
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.rerun import UnknownStepError
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.runs import rerun_run
from xyn_reconciler.store import desired
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.trigger.intake import Intake

KEY = "for {{ run.run_id }}"
PATH = "blueprints/test.yaml"


def act(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": key, "kind": "action_task", "action": "demo.act", "with": {}, **more}


@pytest.fixture
def tool(bench: Bench) -> Tool:
    """Fails in steps that are told to."""

    def run(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        if inputs.get("break") and len(found.calls) == 2:
            raise PermanentError("broken", "it is broken")
        return {"key": context.idempotency_key}

    bench.actions["demo.act"] = found = Tool("demo.act", run)
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "state.git")


def again(bench: Bench, run: RunDto, repository: Repository, **more: Any) -> RunDto:  # noqa: ANN401 - arguments of rerun_run
    with bench.database.begin() as connection:
        desired.ensure_node(connection, "seed")
    context = SimpleNamespace(
        database=bench.database,
        clock=bench.now,
        intake=Intake(compile_run, Redactor([]), clock=bench.now),
        repository=repository,
    )
    new = rerun_run(cast("Context", context), OPERATOR, run.run_id, correlation_id="c2", **more)
    bench.worker().advance(new.run_id)
    return bench.shown(new.run_id)


PLAN = [
    act("first", idempotency_key=KEY),
    act("second", idempotency_key=KEY, **{"with": {"break": True}}),
    {"id": "end", "kind": "transform", "set": {"key": "{{ steps.first.outputs.key }}"}},
]


def test_from_the_start_everything_is_done_again_and_the_new_run_names_the_old(
    bench: Bench, tool: Tool, repository: Repository
) -> None:
    failed = bench.run({"plan": PLAN})

    run = again(bench, failed, repository)

    assert (failed.status, run.status, run.origin_run_id) == ("failed", "completed", failed.run_id)
    assert len(tool.calls) == 4
    assert run.revision == failed.revision


def test_from_a_step_the_steps_before_it_keep_their_outputs(
    bench: Bench, tool: Tool, repository: Repository
) -> None:
    failed = bench.run({"plan": PLAN})

    run = again(bench, failed, repository, from_step="second")

    steps = bench.steps(run.run_id)
    assert (run.status, len(tool.calls)) == ("completed", 3)
    assert steps["end"].outputs == {"key": f"for {failed.run_id}"}
    assert steps["first"].completed_at == bench.steps(failed.run_id)["first"].completed_at


def test_a_re_run_has_the_idempotency_keys_of_the_first_and_a_fresh_one_has_new_ones(
    bench: Bench, tool: Tool, repository: Repository
) -> None:
    failed = bench.run({"plan": PLAN})

    same = again(bench, failed, repository, from_step="second")
    same_again = again(bench, same, repository, from_step="second")
    fresh = again(bench, failed, repository, from_step="second", fresh=True)

    keys = [context.idempotency_key for context in tool.contexts[1:]]
    assert keys[:3] == [f"for {failed.run_id}"] * 3
    assert keys[3] not in keys[:3]
    assert {same.status, same_again.status, fresh.status} == {"completed"}


def test_a_gate_before_what_is_done_again_is_asked_anew(
    bench: Bench, tool: Tool, repository: Repository
) -> None:
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    waiting = bench.run({"plan": [gate, *PLAN]})
    bench.decide(waiting.run_id, "ok", "approved")
    bench.worker().advance(waiting.run_id)
    before = len(tool.calls)

    run = again(bench, bench.shown(waiting.run_id), repository, from_step="second")
    bench.decide(run.run_id, "ok", "approved")
    bench.worker().advance(run.run_id)

    assert (run.status, run.wait_reason) == ("waiting", "gate")
    assert bench.shown(run.run_id).status == "completed"
    assert len(tool.calls) == before + 1


def test_a_run_that_has_not_ended_is_not_run_again(
    bench: Bench, tool: Tool, repository: Repository
) -> None:
    del tool
    waiting = bench.run({"plan": [{"id": "ok", "kind": "gate", "mode": "manual"}]})

    with pytest.raises(ConflictError, match="has not ended"):
        again(bench, waiting, repository)
    with pytest.raises(UnknownStepError, match="it has first, second, end"):
        again(bench, bench.run({"plan": PLAN}), repository, from_step="third")


def test_another_revision_gives_the_plan_as_it_stands_there(
    bench: Bench, tool: Tool, repository: Repository
) -> None:
    del tool
    failed = bench.run({"plan": PLAN})
    text = "id: bp.test\nplan:\n  - {id: other, kind: transform, set: {n: 1}}\n"
    commit = repository.commit_files(
        MAIN,
        expected=None,
        changes={PATH: text.encode()},
        message="Edition\n",
        author="A <a@example.org>",
        now=dt.datetime.now(dt.UTC),
    )

    run = again(bench, failed, repository, revision="main")

    assert (run.status, run.revision) == ("completed", commit)
    assert list(bench.steps(run.run_id)) == ["other"]
    assert isinstance(run.run_id, uuid.UUID)
