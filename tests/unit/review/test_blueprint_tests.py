"""Tests of blueprints, as their authors meet them."""

import pytest

from tests.unit.review.replaying import ACTIONS, NODE
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.review.blueprint_tests import TestResult, run_tests

BLUEPRINT = """\
id: bp.disk
triggers: [{event_type: checkmk.alert, match: {data.state: [CRIT, WARN]}}]
inputs: {host: {type: string, from: "{{ event.data.host }}"}}
plan:
  - {id: free, kind: action_task, action: boom.now, with: {host: "{{ inputs.host }}"}}
  - {id: ok, kind: gate, mode: manual, when: "steps.free.outputs.percent < 5"}
  - id: note
    kind: transform
    set: {text: "{{ inputs.host }}: {{ steps.free.outputs.percent }} %"}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""
EVENT = "event: {event_name: checkmk.alert, data: {state: CRIT, host: web-1}}\n"


def outcome(*lines: str, blueprint: str = BLUEPRINT) -> TestResult:
    text = "\n".join(["blueprint: bp.disk", *(line.rstrip("\n") for line in lines)]) + "\n"
    files = {"node.yaml": NODE, "blueprints/disk.yaml": blueprint, "tests/disk.yaml": text}
    state = DesiredState.of(load(path, path + body, body.encode()) for path, body in files.items())
    (result,) = run_tests(state, ACTIONS, lambda loaded: files[loaded.path].encode())
    return result


def failures(*lines: str) -> list[str]:
    return list(map(str, outcome(*lines).failures))


def test_a_test_says_what_steps_give_and_what_comes_of_it() -> None:
    result = outcome(
        EVENT,
        "steps: {free: {percent: 40}}",
        "expect:",
        "  status: completed",
        "  inputs: {host: web-1}",
        "  steps:",
        "    free: {status: completed, inputs: {host: web-1}}",
        "    ok: skipped",
        "  outputs: {text: 'web-1: 40 %'}",
    )

    assert result.failures == ()


def test_a_failure_names_the_line_what_was_expected_and_what_was_found() -> None:
    found = failures(
        EVENT,
        "steps: {free: {percent: 40}}",
        "expect:",
        "  status: failed",
        "  inputs: {host: web-2}",
        "  steps: {ok: completed, gone: completed}",
        "  outputs:",
        "    text: full",
    )

    assert found == [
        "tests/disk.yaml:5:11: test_failed: expected the run failed, found it completed",
        'tests/disk.yaml:6:18: test_failed: input host: expected "web-2", found "web-1"',
        "tests/disk.yaml:7:15: test_failed: step ok: expected completed, found skipped",
        "tests/disk.yaml:7:32: test_failed: there is no step gone",
        'tests/disk.yaml:9:11: test_failed: output text: expected "full", found "web-1: 40 %"',
    ]


@pytest.mark.parametrize(
    "expect", ["{}", "{steps: {}}", "{outputs: {}, inputs: {}}", "{steps: {free: {outputs: {}}}}"]
)
def test_a_test_that_asks_nothing_fails(expect: str) -> None:
    (found,) = failures(EVENT, "steps: {free: {percent: 40}}", f"expect: {expect}")

    assert found.startswith("tests/disk.yaml:4:9: test_failed: it asks nothing")


def test_a_step_that_is_reached_without_outputs_fails_the_test() -> None:
    (found,) = failures(EVENT, "expect: {status: completed}")

    assert found.startswith("tests/disk.yaml:")
    assert "step free is reached, and no test carries it out" in found


def test_a_gate_without_a_decision_waits_and_one_with_it_lets_through() -> None:
    low = "steps: {free: {percent: 2}}"
    decided = "steps: {free: {percent: 2}, ok: approved}"

    assert outcome(EVENT, low, "expect: {status: waiting, steps: {ok: waiting}}").passed
    assert outcome(EVENT, decided, "expect: {status: completed, steps: {ok: completed}}").passed


def test_a_step_can_fail_in_a_test() -> None:
    fails = "failures: {free: {code: refused, message: no}}"

    assert outcome(EVENT, fails, "expect: {status: failed, error: refused}").passed
    (found,) = failures(EVENT, fails, "expect: {error: timeout}")
    assert found.endswith("expected the error timeout, found refused: no")


def test_an_event_that_starts_nothing_fails_the_test_with_the_reason() -> None:
    event = "event: {event_name: checkmk.alert, data: {state: OK, host: web-1}}"

    (found,) = failures(event, "expect: {status: completed}")

    assert found == (
        "tests/disk.yaml:2:8: test_failed: it does not start bp.disk:"
        ' trigger 1: match.data.state is "OK", asked ["CRIT", "WARN"]'
    )
    assert outcome(event, "expect: {status: not_started}").passed
    assert not outcome(EVENT, "expect: {status: not_started}").passed


def test_inputs_that_do_not_fit_fail_the_run() -> None:
    event = "event: {event_name: checkmk.alert, data: {state: CRIT}}"

    assert outcome(event, "expect: {status: failed, error: invalid_inputs}").passed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("steps: {fre: {}}", "bp.disk has no step fre"),
        ("failures: {fre: {code: x}}", "bp.disk has no step fre"),
    ],
)
def test_a_stub_of_a_step_that_is_not_there_is_a_failure(line: str, said: str) -> None:
    assert any(said in found for found in failures(EVENT, line, "expect: {status: completed}"))


def test_a_test_of_a_blueprint_that_is_not_there_fails() -> None:
    other = BLUEPRINT.replace("bp.disk", "bp.other")

    (found,) = outcome(EVENT, "expect: {status: completed}", blueprint=other).failures

    assert str(found) == "tests/disk.yaml:1:12: test_failed: there is no blueprint bp.disk"


def test_a_blueprint_that_cannot_be_read_is_named() -> None:
    (found,) = outcome(EVENT, "expect: {status: completed}", blueprint="id: bp.disk\n").failures

    assert found.message == (
        "there is no blueprint bp.disk, and blueprints/disk.yaml cannot be read: xynctl validate"
    )


def test_items_of_a_foreach_have_the_outputs_of_a_test() -> None:
    blueprint = """\
id: bp.disk
triggers: [{event_type: checkmk.alert}]
plan:
  - id: each
    kind: action_task
    action: boom.now
    foreach: "{{ [1, 2] }}"
    with: {n: "{{ item }}"}
"""
    one = "steps: {each: [{outputs: {ok: 1}}, {status: failed, error: {code: no}}]}"

    assert outcome(EVENT, one, "expect: {error: items_failed}", blueprint=blueprint).passed
    assert outcome(
        EVENT, "steps: {each: [{a: 1}, {a: 2}]}", "expect: {status: completed}", blueprint=blueprint
    ).passed
