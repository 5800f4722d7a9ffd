"""What a draft would have done, on histories made by hand."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.review.replaying import ACTIONS, event_of, history_of, state_of
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import canonical
from xyn_reconciler.review.backtest import Question, Report, backtest, in_words
from xyn_reconciler.review.history import CancelledError
from xyn_reconciler.review.side import Side

ALERT = """\
id: bp.alert
triggers: [{event_type: checkmk.alert, match: {data.state: [%s]}}]
inputs: {host: {type: string, from: "{{ event.data.host }}"}}
plan:
  - {id: look, kind: transform, set: {host: "{{ inputs.host }}"}}
  - {id: boom, kind: action_task, action: boom.now, with: {host: "{{ steps.look.outputs.host }}"}}
"""
NOTE = """\
id: bp.note
triggers: [{event_type: checkmk.alert}]
plan:
  - {id: note, kind: transform, set: {text: "%s"}}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""


def asked(
    before: Mapping[str, str],
    after: Mapping[str, str],
    *events: Event,
    **more: Any,  # noqa: ANN401 - fields of Question
) -> Report:
    sides = (Side.of(state_of(files), "seed") for files in (before, after))
    question = Question(
        history=history_of(*events),
        before=next(sides),
        after=next(sides),
        actions=ACTIONS,
        **more,
    )
    return backtest(question, lambda _: {})


def alerts(*states: str) -> list[Event]:
    return [event_of(number, state=state, host="web-1") for number, state in enumerate(states)]


def test_a_match_that_lost_a_state_loses_its_events_and_says_why() -> None:
    report = asked(
        {"blueprints/a.yaml": ALERT % "CRIT, WARN"},
        {"blueprints/a.yaml": ALERT % "CRIT"},
        *alerts("CRIT", "WARN", "OK", "WARN"),
    )

    assert report["counts"] == {"same": 1, "changed": 0, "gained": 0, "lost": 2}
    lost = [row for row in report["rows"] if row["outcome"] == "lost"]
    assert [row["event"]["event_id"][-1] for row in lost] == ["1", "3"]
    assert lost[0]["differences"] == ['draft: trigger 1: match.data.state is "WARN", asked "CRIT"']
    assert in_words(report) == "4 events: 1 same, 0 changed, 0 gained, 2 lost"


def test_an_event_that_starts_something_new_is_gained_and_no_action_is_carried_out() -> None:
    report = asked(
        {"blueprints/a.yaml": ALERT % "CRIT"},
        {"blueprints/a.yaml": ALERT % "CRIT, WARN"},
        *alerts("WARN"),
    )

    (row,) = report["rows"]
    assert (row["outcome"], row["draft"]["status"]) == ("gained", "unknown")
    look, boom = row["draft"]["steps"]
    assert look["outputs"] == {"host": "web-1"}
    assert boom["inputs"] == {"host": "web-1"}
    assert boom["why"] == "no run of it is recorded that could answer"
    assert report["unknown"] == 1


def test_a_change_of_what_a_step_gives_is_told_in_words() -> None:
    report = asked(
        {"blueprints/n.yaml": NOTE % "was {{ event.data.state }}"},
        {"blueprints/n.yaml": NOTE % "is {{ event.data.state }}"},
        *alerts("CRIT"),
    )

    (row,) = report["rows"]
    assert row["outcome"] == "changed"
    assert row["differences"] == [
        'step note: output text: "was CRIT" -> "is CRIT"',
        'output text: "was CRIT" -> "is CRIT"',
    ]


def test_an_unresolved_reference_of_the_draft_is_counted() -> None:
    report = asked(
        {"blueprints/n.yaml": NOTE % "{{ event.data.state }}"},
        {"blueprints/n.yaml": NOTE % "{{ event.data.stat }}"},
        *alerts("CRIT", "OK"),
    )

    assert report["counts"]["changed"] == 2
    (found,) = report["unresolved"]
    assert (found["blueprint_id"], found["step"], found["events"]) == ("bp.note", "note", 2)
    assert "event.data.stat has no value" in found["message"]


def test_a_file_that_is_written_otherwise_and_does_the_same_changes_nothing() -> None:
    report = asked(
        {"blueprints/n.yaml": NOTE % "x"},
        {"blueprints/other.yaml": "# moved\n" + NOTE % "x"},
        *alerts("CRIT"),
    )

    assert report["counts"] == {"same": 1, "changed": 0, "gained": 0, "lost": 0}


def test_one_blueprint_can_be_asked_about_alone() -> None:
    files = {"blueprints/a.yaml": ALERT % "CRIT", "blueprints/n.yaml": NOTE % "x"}

    report = asked(files, files, *alerts("CRIT"), blueprint="bp.note")

    assert list(report["blueprints"]) == ["bp.note"]


def test_policies_of_a_draft_say_who_may_start_it_on_prod() -> None:
    policy = """\
policy_id: 2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01
policy_type: governance
name: nobody starts alone
status: active
rules:
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d01
    match: {action: run.start}
    effect: require_approval
    requirements: {approvals: {min: 1, from_any_of: ["role:Operator"]}}
"""
    node = "id: seed\nenv_id: local\nmode: active\nstage: prod\n"
    files = {"node.yaml": node, "blueprints/n.yaml": NOTE % "x"}

    report = asked(files, {**files, "policies/p.yaml": policy}, *alerts("CRIT", "OK"))

    (said,) = report["policies"]
    assert (said["blueprint_id"], said["effect"], said["events"]) == (
        "bp.note",
        "require_approval",
        2,
    )


def test_a_backtest_that_nobody_waits_for_ends() -> None:
    with pytest.raises(CancelledError):
        asked({}, {}, *alerts("CRIT"), cancelled=lambda: True)


def test_progress_is_told() -> None:
    told: list[int] = []

    asked({}, {}, *alerts(*["CRIT"] * 1200), progress=told.append)

    assert told == [0, 500, 1000, 1200]


texts = st.sampled_from(
    ["{{ event.data.state }}", "{{ event.data.host }}", "{{ event.data.gone }}", "fixed"]
)
states = st.lists(st.sampled_from(["OK", "WARN", "CRIT"]), unique=True, min_size=1)


@settings(max_examples=30, deadline=None)
@given(
    before=st.tuples(states, texts),
    after=st.tuples(states, texts),
    events=st.lists(st.sampled_from(["OK", "WARN", "CRIT"]), max_size=8),
    backwards=st.booleans(),
)
def test_the_same_question_has_the_same_bytes_for_an_answer_and_every_event_is_accounted_for(
    before: tuple[list[str], str],
    after: tuple[list[str], str],
    events: list[str],
    backwards: bool,
) -> None:
    def files(side: tuple[list[str], str]) -> dict[str, str]:
        named = {
            "blueprints/a.yaml": ALERT % ", ".join(side[0]),
            "blueprints/n.yaml": NOTE % side[1],
        }
        return dict(reversed(named.items())) if backwards else named

    one = asked(files(before), files(after), *alerts(*events))
    backwards = not backwards
    other = asked(files(before), files(after), *alerts(*events))

    assert canonical(one) == canonical(other)
    assert json.loads(canonical(one)) == one
    counts = one["counts"]
    main = sum(state in before[0] for state in events) + len(events)
    draft = sum(state in after[0] for state in events) + len(events)
    assert counts["same"] + counts["changed"] + counts["lost"] == main
    assert counts["same"] + counts["changed"] + counts["gained"] == draft
    swapped = asked(files(after), files(before), *alerts(*events))["counts"]
    assert (swapped["gained"], swapped["lost"]) == (counts["lost"], counts["gained"])
    assert swapped["changed"] == counts["changed"]
