"""Who may decide at a gate, when, and what follows."""

import datetime as dt
import uuid
from typing import Any, Literal

import pytest

from tests.integration.run.engine_bench import Bench
from xyn_reconciler.model.errors import NotFoundError, XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.store import gates

ADA = Principal("ada", roles=frozenset({"Operator"}))
BOB = Principal("bob", roles=frozenset({"User"}), teams=frozenset({"noc"}))


def gate(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a gate
    return {"id": "ok", "kind": "gate", "mode": "manual", **more}


def waiting(bench: Bench, *behind: dict[str, Any], **more: Any) -> uuid.UUID:  # noqa: ANN401 - keys of a gate
    return bench.run({"plan": [gate(**more), *behind]}).run_id


def refusal(bench: Bench, run_id: uuid.UUID, *given: Any, **more: Any) -> str:  # noqa: ANN401 - arguments of decide
    with pytest.raises(XynError) as caught:
        bench.decide(run_id, "ok", *given, **more)
    return caught.value.code


def test_a_rejected_gate_fails_the_run(bench: Bench) -> None:
    run_id = waiting(bench)

    bench.decide(run_id, "ok", "rejected", ADA, comment="not today")
    bench.worker().advance(run_id)

    run = bench.shown(run_id)
    assert run.status == "failed"
    assert run.error == {
        "code": "rejected",
        "message": "gate ok was rejected, a person said no: not today",
        "step": "ok",
    }


def test_a_later_when_that_asks_for_the_decision_makes_no_an_answer(bench: Bench) -> None:
    asked = {"id": "no", "kind": "transform", "when": "steps.ok.outputs.decision == 'rejected'"}
    run_id = waiting(bench, asked)

    bench.decide(run_id, "ok", "rejected", ADA)
    bench.worker().advance(run_id)

    assert bench.shown(run_id).status == "completed"
    assert bench.steps(run_id)["no"].status == "completed"


def test_a_quorum_needs_different_people_of_the_right_kind(bench: Bench) -> None:
    run_id = waiting(bench, approvals={"min": 2, "from_any_of": ["role:Operator", "team:noc"]})

    first = bench.decide(run_id, "ok", "approved", ADA)
    again = refusal(bench, run_id, "approved", ADA)
    stranger = refusal(bench, run_id, "approved", Principal("eve"))
    second = bench.decide(run_id, "ok", "approved", BOB)
    late = refusal(bench, run_id, "approved", Principal("carl", roles=frozenset({"Operator"})))

    assert (first, second) == (False, True)
    assert (again, stranger, late) == ("already_decided", "not_an_approver", "already_decided")
    bench.worker().advance(run_id)
    outputs = bench.steps(run_id)["ok"].outputs
    assert outputs["approvers"] == ["ada", "bob"]


def test_whoever_caused_the_run_may_not_approve_it_but_may_stop_it(bench: Bench) -> None:
    cause = Principal("operator", roles=frozenset({"Operator"}))
    run_id = waiting(bench, approvals={"allow_self": False})

    assert refusal(bench, run_id, "approved", cause) == "not_an_approver"
    assert bench.decide(run_id, "ok", "rejected", cause)


def test_a_gate_that_says_nothing_asks_one_operator_who_may_be_the_cause_and_has_no_end(
    bench: Bench,
) -> None:
    run_id = waiting(bench, retry={"max_attempts": 3})
    with bench.database.begin() as connection:
        asked = gates.list_gates(connection, limit=1)[0]

    assert (asked.min, asked.from_any_of, asked.allow_self) == (1, ["role:Operator"], True)
    assert asked.expires_at is None
    assert refusal(bench, run_id, "approved", BOB) == "not_an_approver"
    assert bench.decide(run_id, "ok", "approved", Principal("operator", roles=ADA.roles))
    bench.worker().advance(run_id)
    outputs = {"decision": "approved", "approvers": ["operator"], "comment": None, "form": None}
    assert bench.steps(run_id)["ok"].outputs == outputs


@pytest.mark.parametrize("kind", ["agent", "service"])
def test_only_people_approve_and_anybody_who_is_asked_may_reject(
    bench: Bench, kind: Literal["agent", "service"]
) -> None:
    bot = Principal("bot", kind=kind, roles=ADA.roles)
    run_id = waiting(bench)

    assert refusal(bench, run_id, "approved", bot) == "not_an_approver"
    assert bench.decide(run_id, "ok", "rejected", bot)


def test_an_approval_names_what_it_lets_through(bench: Bench) -> None:
    run_id = waiting(bench)
    with bench.database.begin() as connection:
        seen = gates.list_gates(connection, limit=1)[0].effect_digest

    assert refusal(bench, run_id, "approved", ADA, effect_digest="0" * 64) == "stale_approval"
    assert bench.decide(run_id, "ok", "approved", ADA, effect_digest=seen)


def test_a_form_is_checked_and_its_defaults_are_filled_in(bench: Bench) -> None:
    form = {
        "reason": {"type": "string"},
        "hours": {"type": "integer", "default": 2},
    }
    run_id = waiting(bench, form=form)

    assert refusal(bench, run_id, "approved", ADA) == "invalid_form"
    assert refusal(bench, run_id, "approved", ADA, form={"reason": 1}) == "invalid_form"
    assert refusal(bench, run_id, "approved", ADA, form={"reason": "", "x": 1}) == "invalid_form"
    bench.decide(run_id, "ok", "approved", ADA, form={"reason": "night shift"})
    bench.worker().advance(run_id)
    assert bench.steps(run_id)["ok"].outputs["form"] == {"reason": "night shift", "hours": 2}


@pytest.mark.parametrize(("on_timeout", "status"), [("reject", "failed"), ("approve", "completed")])
def test_a_gate_that_nobody_answers_decides_by_itself(
    bench: Bench, on_timeout: str, status: str
) -> None:
    run_id = waiting(bench, timeout="4h", on_timeout=on_timeout)

    bench.late = dt.timedelta(hours=3)
    bench.worker().advance(run_id)
    early = bench.shown(run_id).status
    bench.late = dt.timedelta(hours=5)
    bench.worker().advance(run_id)

    with bench.database.begin() as connection:
        decided = gates.list_gates(connection, limit=1, waiting_only=False)[0]
    assert early == "waiting"
    assert bench.shown(run_id).status == status
    assert decided.decided_because == "timeout"


def test_time_spent_waiting_for_people_does_not_count_towards_the_runs_timeout(
    bench: Bench,
) -> None:
    run_id = bench.run({"timeout": "1h", "plan": [gate()]}).run_id

    bench.late = dt.timedelta(hours=30)
    bench.decide(run_id, "ok", "approved", ADA)
    bench.worker().advance(run_id)

    assert bench.shown(run_id).status == "completed"


def test_a_gate_of_a_run_that_is_over_takes_no_more_answers(bench: Bench) -> None:
    run_id = waiting(bench)
    bench.decide(run_id, "ok", "rejected", ADA)
    bench.worker().advance(run_id)

    assert refusal(bench, run_id, "approved", BOB) == "already_decided"
    with bench.database.begin() as connection:
        assert gates.list_gates(connection, limit=5) == []
        assert gates.count_waiting(connection) == 0


def test_a_step_that_asks_nobody_is_not_found(bench: Bench) -> None:
    run_id = bench.run({"plan": [{"id": "ok", "kind": "transform"}]}).run_id

    with pytest.raises(NotFoundError):
        bench.decide(run_id, "ok", "approved", ADA)
