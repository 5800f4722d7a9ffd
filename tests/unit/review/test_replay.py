"""Runs that are replayed with nothing carried out."""

import uuid
from collections.abc import Mapping
from typing import Any

from tests.unit.review.replaying import ACTIONS, NOW, plan_of
from xyn_reconciler.model.run import PlannedStep
from xyn_reconciler.review.replay import (
    Answer,
    Done,
    Failed,
    Replayed,
    Unanswered,
    Waiting,
    replay,
)
from xyn_reconciler.run.scope import RunView


class Says:
    """Answers by the step's key; a gate without an answer waits."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int | None, Mapping[str, Any]]] = []

    def of_step(self, planned: PlannedStep, index: int | None, inputs: Mapping[str, Any]) -> Answer:
        self.asked.append((planned.key, index, inputs))
        return self.answers.get(planned.key, Unanswered("nobody said"))

    def of_gate(self, planned: PlannedStep, shown: Mapping[str, Any]) -> Answer:
        assert shown["gate"] == planned.key
        return self.answers.get(planned.key, Waiting())


def replayed(blueprint: str, answers: Says | None = None, **data: object) -> Replayed:
    run = RunView(
        run_id=uuid.UUID(int=1), revision="0" * 40, actor="ada", inputs={}, event={"data": data}
    )
    return replay(plan_of(blueprint), run, answers or Says(), ACTIONS, NOW)


def statuses(found: Replayed) -> dict[str, str]:
    return {step.key: step.status for step in found.steps}


ASK = """\
id: bp.ask
plan:
  - {id: ask, kind: action_task, action: boom.now, with: {host: "{{ event.data.host }}"}}
  - id: note
    kind: transform
    set: {known: "{{ event.data.host }}", not: "{{ steps.ask.outputs.text }}"}
  - {id: maybe, kind: transform, when: "steps.note.outputs.not == 'x'", set: {x: 1}}
  - {id: tell, kind: action_task, action: boom.now, with: {a: "{{ steps.note.outputs.known }}"}}
outputs: {known: "{{ steps.note.outputs.known }}", not: "{{ steps.note.outputs.not }}"}
"""


def test_a_step_that_nobody_answers_for_is_unknown_and_everything_behind_it_says_so() -> None:
    found = replayed(ASK, Says(tell=Done({})), host="web-1")

    assert found.status == "unknown"
    assert statuses(found) == {
        "ask": "unknown",
        "note": "completed",
        "maybe": "unknown",
        "tell": "completed",
    }
    ask, note, maybe, tell = found.steps
    assert ask.inputs == {"host": "web-1"}
    assert (ask.why, ask.after) == ("nobody said", ())
    assert note.outputs == {"known": "web-1", "not": {"unknown": "steps.ask"}}
    assert maybe.why == "depends on steps.ask, which is unknown"
    assert (note.after, tell.after) == (("ask",), ("ask", "maybe"))
    assert found.outputs == {"known": "web-1", "not": {"unknown": "steps.ask"}}


def test_inputs_that_depend_on_an_unknown_step_are_asked_of_nobody() -> None:
    says = Says()

    found = replayed(
        """\
id: bp.chain
plan:
  - {id: one, kind: action_task, action: boom.now, with: {}}
  - {id: two, kind: action_task, action: boom.now, with: {a: 1, b: "{{ steps.one.outputs.x }}"}}
""",
        says,
    )

    assert [key for key, _, _ in says.asked] == ["one"]
    two = found.steps[1]
    assert two.status == "unknown"
    assert two.inputs == {"a": 1, "b": {"unknown": "depends on steps.one, which is unknown"}}


def test_with_all_answers_a_replay_ends_as_the_run_would() -> None:
    found = replayed(ASK, Says(ask=Done({"text": "x"}), tell=Done({})), host="web-1")

    assert found.status == "completed"
    assert set(statuses(found).values()) == {"completed"}
    assert found.outputs == {"known": "web-1", "not": "x"}


FAILS = """\
id: bp.fails
plan:
  - {id: one, kind: action_task, action: boom.now, with: {}}
  - {id: two, kind: transform, set: {x: 1}}
on_failure:
  - {id: page, kind: action_task, action: boom.now, with: {why: "{{ run.error.code }}"}}
"""


def test_a_failure_skips_the_rest_and_runs_on_failure() -> None:
    says = Says(one=Failed({"code": "refused", "message": "no"}), page=Done({}))

    found = replayed(FAILS, says)

    assert found.status == "failed"
    assert found.error == {"code": "refused", "message": "no", "step": "one"}
    assert statuses(found) == {"one": "failed", "two": "skipped", "page": "completed"}
    assert says.asked[-1] == ("page", None, {"why": "refused"})


def test_an_unresolved_reference_fails_its_step() -> None:
    found = replayed(
        'id: bp.x\nplan: [{id: a, kind: transform, set: {h: "{{ event.data.host }}"}}]\n'
    )

    assert found.status == "failed"
    assert found.steps[0].error is not None
    assert found.steps[0].error["code"] == "undefined_value"


def test_inputs_that_do_not_fit_the_action_fail_its_step() -> None:
    found = replayed(
        "id: bp.x\nplan: [{id: a, kind: action_task, action: http.call, with: {url: '{{ 5 }}'}}]\n"
    )

    assert found.steps[0].error is not None
    assert found.steps[0].error["code"] == "invalid_inputs"


GATE = """\
id: bp.gate
plan:
  - {id: ok, kind: gate, mode: manual}
  - {id: go, kind: action_task, action: boom.now, with: {by: "{{ steps.ok.outputs.approvers }}"}}
"""


def test_a_run_waits_at_a_gate_that_nobody_has_decided() -> None:
    found = replayed(GATE)

    assert found.status == "waiting"
    assert found.gates == ("ok",)
    assert statuses(found) == {"ok": "waiting", "go": "created"}


def test_behind_a_gate_of_which_nobody_knows_the_run_goes_on_to_be_seen() -> None:
    found = replayed(GATE, Says(ok=Unanswered("it would ask people")))

    assert found.status == "waiting"
    assert found.gates == ("ok",)
    assert statuses(found) == {"ok": "unknown", "go": "unknown"}


def test_a_decision_lets_a_run_through_or_fails_it() -> None:
    yes = {"decision": "approved", "approvers": ["ada"], "comment": None, "form": None}

    through = replayed(GATE, Says(ok=Done(yes), go=Done({})))
    refused = replayed(GATE, Says(ok=Done(yes | {"decision": "rejected"})))

    assert through.status == "completed"
    assert through.steps[1].inputs == {"by": ["ada"]}
    assert refused.status == "failed"
    assert refused.error is not None
    assert refused.error["code"] == "rejected"


def test_each_item_of_a_foreach_is_answered_for() -> None:
    says = Says(each=Done({"ok": True}))

    found = replayed(
        """\
id: bp.each
plan:
  - id: each
    kind: action_task
    action: boom.now
    foreach: "{{ event.data.hosts }}"
    max_parallel: 2
    with: {host: "{{ item }}", n: "{{ item_index }}"}
""",
        says,
        hosts=["a", "b", "c"],
    )

    assert found.status == "completed"
    assert [(index, inputs) for _, index, inputs in says.asked] == [
        (0, {"host": "a", "n": 0}),
        (1, {"host": "b", "n": 1}),
        (2, {"host": "c", "n": 2}),
    ]
    assert [item["outputs"] for item in found.steps[0].outputs] == [{"ok": True}] * 3
