"""Actions of packs at work: adapters against a real server, programs in their real process."""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.neighbours import confinement
from xyn_reconciler.action import pack_action
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.example_server import Exchanges, serving
from xyn_reconciler.action.pack_action import PackAction
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError
from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.pack_kit import NAME, kit

TOOLS = installed_actions()


def action(
    definition: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> PackAction:
    definition = {"summary": "It does something.", **definition}
    pack = PlanPack(
        version="0.1.0",
        digest="d",
        settings=dict(settings or {}),
        actions={"a.it": dict(definition)},
        files=dict(files or {}),
    )
    return PackAction("a.it", definition, pack, TOOLS)


def failed(done: PackAction, context: ActionContext, **inputs: Any) -> StepError:  # noqa: ANN401 - any JSON
    with pytest.raises(StepError) as caught:
        done.run(inputs, context)
    return caught.value


def asked(
    definition: Mapping[str, Any],
    answers: list[dict[str, Any]],
    context: ActionContext,
    **inputs: Any,  # noqa: ANN401 - any JSON
) -> dict[str, Any]:
    exchanges = Exchanges([{"response": {}, **each} for each in answers])
    with serving(exchanges) as server:
        try:
            return action(definition, {"url": server}).run(inputs, context)
        finally:
            assert exchanges.differences == []
            assert list(exchanges.missing()) == []


# ── adapters ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_carries_the_secret_the_key_and_the_inputs(attempt: ActionContext) -> None:
    definition = {
        "request": {
            "method": "POST",
            "url": "{{ settings.url }}/ack",
            "bearer_ref": "env/T",
            "json": {"host": "{{ inputs.host }}"},
        },
        "outputs": {"id": "{{ response.json.id }}"},
        "output_schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
    }
    request = {
        "method": "POST",
        "path": "/ack",
        "headers": {"Authorization": "Bearer s3cret-s3cret", "Idempotency-Key": "k1"},
        "json": {"host": "web"},
    }
    context = replace(attempt, secret={"env/T": "s3cret-s3cret"}.get, idempotency_key="k1")
    answers = [{"request": request, "response": {"json": {"id": 7}}}]

    assert asked(definition, answers, context, host="web") == {"id": 7}


def test_without_outputs_the_answer_is_given_as_it_is(attempt: ActionContext) -> None:
    found = asked(
        {"request": {"url": "{{ settings.url }}"}}, [{"response": {"json": [1]}}], attempt
    )

    assert (found["status"], found["json"]) == (200, [1])


def test_egress_holds_for_adapters(attempt: ActionContext) -> None:
    definition = {"request": {"url": "http://127.0.0.1:1/"}, "errors": [{"when": "1", "code": "x"}]}

    found = failed(action(definition), replace(attempt, egress=()))
    assert found.failure_code == "egress_denied"


def test_pages_are_asked_for_until_there_is_no_next(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}/l", "query": {"q": "x"}},
        "paginate": {
            "next": "{{ response.json.next | default('') }}",
            "items": "{{ response.json.items }}",
        },
    }
    answers: list[dict[str, Any]] = [
        {
            "request": {"path": "/l", "query": {"q": "x"}},
            "response": {"json": {"items": [1, 2], "next": "/l?page=2"}},
        },
        {
            "request": {"path": "/l", "query": {"page": "2"}},
            "response": {"json": {"items": [3]}},
        },
    ]

    assert asked(definition, answers, attempt) == {"items": [1, 2, 3]}


def test_there_are_no_more_pages_than_the_pack_says(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}/l"},
        "paginate": {"next": "/l", "items": "{{ response.json }}", "most": 3},
    }
    with pytest.raises(PermanentError) as caught:
        asked(definition, [{"response": {"json": [1]}}] * 3, attempt)

    assert caught.value.failure_code == "too_many_pages"


def test_pages_together_are_no_larger_than_a_value_may_be(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}/l"},
        "paginate": {"next": "/l", "items": "{{ response.json }}", "most": 100},
    }
    with pytest.raises(StepError) as caught:
        asked(definition, [{"response": {"json": ["x" * 900_000]}}] * 5, attempt)

    assert caught.value.failure_code == "too_large"


def test_credentials_do_not_follow_a_next_page_elsewhere(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}/l", "bearer_ref": "env/T"},
        "paginate": {"next": "{{ response.json.next }}", "items": "{{ response.json.items }}"},
    }
    elsewhere = Exchanges([])
    context = replace(attempt, secret=lambda _: "s" * 9)
    with serving(elsewhere) as other:
        answers = [{"response": {"json": {"items": [], "next": f"{other}/l"}}}]
        with pytest.raises(PermanentError) as caught:
            asked(definition, answers, context)

    assert caught.value.failure_code == "next_elsewhere"
    assert elsewhere.came == 0


def test_an_error_rule_sees_the_whole_answer(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}"},
        "errors": [{"when": "response.json.title == 'gone'", "code": "gone"}],
    }
    answer = {"status": 400, "json": {"pad": "x" * 5000, "title": "gone"}}
    with pytest.raises(PermanentError) as caught:
        asked(definition, [{"response": answer}], attempt)

    assert caught.value.failure_code == "gone"


def test_an_answer_of_200_may_mean_a_failure(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}"},
        "errors": [{"when": "not response.json.ok", "code": "refused", "temporary": True}],
    }
    with pytest.raises(TemporaryError) as caught:
        asked(definition, [{"response": {"json": {"ok": False}}}], attempt)

    assert caught.value.failure_code == "refused"


def test_where_no_rule_fits_the_tools_own_failure_stays(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}"},
        "errors": [{"status": [404], "code": "gone"}],
    }
    answer = {"status": 503, "headers": {"Retry-After": "7"}}
    with pytest.raises(TemporaryError) as caught:
        asked(definition, [{"response": answer}], attempt)

    assert caught.value.failure_code == "http_status"
    assert caught.value.delay is not None
    assert caught.value.delay.total_seconds() == 7


def test_error_rules_do_not_stop_redirects_from_being_followed(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}/old"},
        "errors": [{"status": [404], "code": "gone"}],
        "outputs": {"ok": "{{ response.json.ok }}"},
    }
    answers: list[dict[str, Any]] = [
        {"response": {"status": 302, "headers": {"Location": "/new"}}},
        {"request": {"path": "/new"}, "response": {"json": {"ok": 1}}},
    ]

    assert asked(definition, answers, attempt) == {"ok": 1}


def test_outputs_are_held_to_the_packs_schema(attempt: ActionContext) -> None:
    definition = {
        "request": {"url": "{{ settings.url }}"},
        "outputs": {"id": "{{ response.json.id }}"},
        "output_schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
    }
    with pytest.raises(PermanentError) as caught:
        asked(definition, [{"response": {"json": {"id": "seven"}}}], attempt)

    assert caught.value.failure_code == "invalid_output"


def test_inputs_are_held_to_the_packs_schema_and_have_its_defaults(attempt: ActionContext) -> None:
    definition = {
        "input_schema": {
            "type": "object",
            "required": ["host"],
            "properties": {"host": {"type": "string"}, "n": {"type": "integer", "default": 3}},
        },
        "request": {"url": "{{ settings.url }}/{{ inputs.n }}"},
    }
    found = asked(definition, [{"request": {"path": "/3"}}], attempt, host="a")

    assert found["status"] == 200
    assert failed(action(definition), attempt, n=1).failure_code == "invalid_inputs"


# ── programs ─────────────────────────────────────────────────────────────────────────────────────

ECHO = "import json, sys; json.dump({'outputs': json.load(sys.stdin)}, sys.stdout)"


def program(code: str, **more: Any) -> PackAction:  # noqa: ANN401 - any JSON
    confinement()
    return action(
        {"run": {"file": "actions/it.py", **more}},
        {"ref": "env/T"},
        {"actions/it.py": code, f"actions/{NAME}": kit()},
    )


def test_a_program_is_told_all_it_needs_and_no_more(attempt: ActionContext) -> None:
    known = {"env/T": "one-secret", "env/OTHER": "another"}
    context = replace(attempt, secret=known.get, idempotency_key="k")
    told = program(ECHO, secrets=["{{ settings.ref }}"]).run({"host": "web"}, context)

    assert dt.datetime.fromisoformat(told.pop("now")).utcoffset() == dt.timedelta()
    assert told == {
        "action": "a.it",
        "inputs": {"host": "web"},
        "settings": {"ref": "env/T"},
        "config": {},
        "secrets": {"env/T": "one-secret"},
        "idempotency_key": "k",
        "run_id": str(attempt.run_id),
        "step_id": str(attempt.step_id),
        "attempt": 1,
        "answers": [],
    }


def test_a_secret_that_is_not_there_fails_before_anything_runs(attempt: ActionContext) -> None:
    lines: list[str] = []
    context = replace(attempt, log=lines.append)
    talks = program("import sys; print('ran', file=sys.stderr)", secrets=["env/NONE"])

    assert failed(talks, context).failure_code == "secret_not_found"
    assert lines == []


def test_a_program_has_no_more_time_than_it_declares(attempt: ActionContext) -> None:
    began = time.monotonic()
    found = failed(program("import time; time.sleep(60)", timeout="500ms"), attempt)

    assert found.failure_code == "timeout"
    assert time.monotonic() - began < 20


def test_what_a_program_gives_is_held_to_the_schema(attempt: ActionContext) -> None:
    odd = action(
        {
            "run": {"file": "actions/it.py"},
            "output_schema": {"type": "object", "required": ["nothing"]},
        },
        files={"actions/it.py": ECHO},
    )

    assert failed(odd, attempt).failure_code == "invalid_output"


KIT = """
from xyn_kit import Failure, Request, action, log

@action
def it(request: Request) -> dict[str, object]:
    log("working", request.attempt)
    print("this too")
    match request.inputs["end"]:
        case "fail":
            raise Failure("no_host", "gone", temporary=True, retry_after=2)
        case "fault":
            raise ValueError("that was not meant")
    return {"end": request.inputs["end"]}

if __name__ == "__main__":
    it()
"""


def test_the_kit_speaks_for_the_program(attempt: ActionContext) -> None:
    lines: list[str] = []
    made = program(KIT)

    assert made.run({"end": "well"}, replace(attempt, log=lines.append)) == {"end": "well"}
    assert lines == ["working 1", "this too"]
    told = failed(made, attempt, end="fail")
    assert isinstance(told, TemporaryError)
    assert told.failure_code == "no_host"
    fault = failed(made, attempt, end="fault")
    assert fault.failure_code == "exit_status"
    assert "ValueError: that was not meant" in fault.message


# ── programs that ask ────────────────────────────────────────────────────────────────────────────

ASKS = """
from xyn_kit import Failure, Request, action, log

@action
def it(request: Request) -> dict[str, object]:
    log("looking")
    first = request.ask("api", path="/tickets", query={"open": True, "of": None})
    log("found", len(first["json"]))
    try:
        request.ask("api", "POST", "/tickets", json={"number": len(first["json"]) + 1})
    except Failure as failure:
        return {"code": failure.code, "status": failure.details["status"], "at": request.now}
    return {"code": "none"}

it()
"""
API = {"api": {"url": "{{ settings.url }}/v1/", "bearer_ref": "env/T"}}


def asking(
    code: str,
    answers: list[dict[str, Any]],
    context: ActionContext,
    **more: Any,  # noqa: ANN401 - any JSON
) -> dict[str, Any]:
    confinement()
    exchanges = Exchanges([{"response": {}, **each} for each in answers])
    with serving(exchanges) as server:
        made = action(
            {"run": {"file": "actions/it.py", "ask": API}, **more},
            {"url": server},
            {"actions/it.py": code, f"actions/{NAME}": kit()},
        )
        try:
            return made.run({}, context)
        finally:
            assert exchanges.differences == []
            assert list(exchanges.missing()) == []


def test_a_program_has_requests_made_and_never_sees_the_secret(attempt: ActionContext) -> None:
    lines: list[str] = []
    context = replace(
        attempt, log=lines.append, secret={"env/T": "one-secret"}.get, idempotency_key="k"
    )
    proof = {"authorization": "Bearer one-secret"}
    found = asking(
        ASKS,
        [
            {
                "request": {
                    "path": "/v1/tickets",
                    "query": {"open": "true"},
                    "headers": {**proof, "idempotency-key": "k 1"},
                },
                "response": {"json": [{}, {}]},
            },
            {
                "request": {
                    "method": "POST",
                    "json": {"number": 3},
                    "headers": {**proof, "idempotency-key": "k 2"},
                },
                "response": {"status": 409},
            },
        ],
        context,
    )

    assert (found["code"], found["status"]) == ("http_status", 409)
    own = [line for line in lines if not line.startswith(("GET", "POST"))]
    assert own == ["looking", "found 2"]


def test_a_failure_of_the_request_is_the_programs_where_it_says_nothing(
    attempt: ActionContext,
) -> None:
    context = replace(attempt, secret={"env/T": "one-secret"}.get)
    busy = {"request": {}, "response": {"status": 503, "headers": {"Retry-After": "7"}}}
    with pytest.raises(TemporaryError) as caught:
        asking(ASKS, [busy], context)

    assert caught.value.failure_code == "http_status"
    assert caught.value.delay == dt.timedelta(seconds=7)


@pytest.mark.parametrize(
    ("asks", "code"),
    [
        ('request.ask("other")', "invalid_answer"),
        ('request.ask("api", path="@elsewhere.example.net/")', "invalid_answer"),
        ('request.ask("api", path="/a?b")', "invalid_answer"),
        ('request.ask("api", url="http://elsewhere.example.net")', "invalid_answer"),
        ('request.ask("api", auth={"bearer_ref": "env/OTHER"})', "invalid_answer"),
        ('request.ask("api", "BREW")', "invalid_inputs"),
    ],
)
def test_a_program_asks_nobody_but_whom_the_pack_names(
    attempt: ActionContext, asks: str, code: str
) -> None:
    context = replace(attempt, secret={"env/T": "t", "env/OTHER": "o"}.get)
    text = f"from xyn_kit import action\n@action\ndef it(request):\n    {asks}\nit()\n"
    with pytest.raises(PermanentError) as caught:
        asking(text, [], context)

    assert caught.value.failure_code == code


def test_a_program_does_not_ask_for_ever(
    attempt: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_action, "MOST_ASKED", 3)  # each is a process of its own
    context = replace(attempt, secret={"env/T": "t"}.get)
    text = "import json, sys\njson.load(sys.stdin)\njson.dump({'ask': {'of': 'api'}}, sys.stdout)\n"
    with pytest.raises(PermanentError) as caught:
        asking(text, [{}] * 3, context)

    assert caught.value.failure_code == "too_many_requests"


def test_a_program_is_told_what_stands_in_config(attempt: ActionContext) -> None:
    confinement()
    files = {
        "actions/it.py": ECHO,
        "config/edge.yaml": "hosts: [a]\n",
        "config/more/list.json": "[1]",
        "config/note.txt": "not read",
    }
    told = action({"run": {"file": "actions/it.py"}}, files=files).run({}, attempt)

    assert told["config"] == {"edge": {"hosts": ["a"]}, "more/list": [1]}


def test_a_name_without_a_body_cannot_be_run(attempt: ActionContext) -> None:
    assert failed(action({}), attempt).failure_code == "not_installed"
