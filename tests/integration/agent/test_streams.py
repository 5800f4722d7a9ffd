"""Answers as they come, through the real SDKs: whole, cut, stalled, wrong, endless."""

import gzip
import json
import threading
import time
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from tests.integration.agent.asking import (
    MODELS,
    SECRET,
    Notes,
    asked,
    attempt_of,
    failure,
    task,
)
from tests.integration.agent.speaking import (
    HEAD,
    STALL,
    begun,
    ended,
    event,
    refusal,
    speaking,
)
from xyn_reconciler.agent.bounded import MAX_ANSWER, room
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.store.artifacts import TooLargeError

every = pytest.mark.parametrize("api", MODELS)

USAGE: dict[str, dict[str, Any]] = {
    "openai": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "of_a_new_kind": 3},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 109,
        "moon_tokens": 5,
    },
    "anthropic": {"output_tokens": 9, "moon_tokens": 5},
    "local": {
        "prompt_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens": 9,
        "total_tokens": 109,
        "moon_tokens": 5,
    },
}


@pytest.fixture
def notes() -> Notes:
    return Notes()


@every
def test_what_a_model_says_is_shown_as_it_says_it(notes: Notes, api: str) -> None:
    with speaking([*begun(api, "hel", "lo"), *ended(api, "hello", USAGE[api])]) as server:
        outputs = asked(attempt_of(notes, server.url), api, "say")

    assert outputs == {"text": "hello"}
    assert notes.live == ["hel", "lo"]


@every
def test_the_count_of_the_last_event_holds_and_what_is_unknown_in_it_is_kept(
    notes: Notes, api: str
) -> None:
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api])]) as server:
        asked(attempt_of(notes, server.url), api, "say")

    tokens_in = {"openai": 100, "anthropic": 90, "local": 100}[api]
    assert notes.used() == {"request_count": 1, "tokens_in": tokens_in, "tokens_out": 9}
    assert notes.dims("tokens_in")["cached"] == 60
    assert "estimated" not in notes.dims("tokens_in")
    assert json.loads(notes.artifacts["response.json"])["usage"]["moon_tokens"] == 5


@every
def test_an_answer_ends_with_its_last_event_whatever_the_server_does_then(
    notes: Notes, api: str
) -> None:
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api]), STALL]) as server:
        outputs = asked(attempt_of(notes, server.url), api, "say")
        assert server.left.wait(10)

    assert outputs == {"text": "hello"}


@every
def test_half_a_stream_is_worth_another_try_and_its_tokens_count(notes: Notes, api: str) -> None:
    with speaking(begun(api, "hel")) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert error.failure_code == "connection"
    assert isinstance(error, TemporaryError)
    assert "hel" in notes.artifacts["response.json"].decode()
    assert notes.used()["request_count"] == 1
    assert notes.used()["tokens_in"] == (90 if api == "anthropic" else 1)
    assert notes.dims("tokens_in").get("estimated", False) is (api != "anthropic")


@every
def test_a_connection_that_is_cut_within_a_chunk_is_worth_another_try(
    notes: Notes, api: str
) -> None:
    _, *said = begun(api, "hel")
    chunked = HEAD.replace(b"connection: close", b"transfer-encoding: chunked")
    chunks = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in said]
    with speaking([chunked, *chunks, b"ffff\r\ndata: {"]) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert error.failure_code == "connection"
    assert isinstance(error, TemporaryError)
    assert notes.live == ["hel"]


@every
def test_a_stream_that_stalls_is_left_at_the_deadline(notes: Notes, api: str) -> None:
    with speaking([*begun(api, "hel"), STALL]) as server:
        attempt = replace(attempt_of(notes, server.url), deadline=time.monotonic() + 4)
        error = failure(lambda: asked(attempt, api, "say"))
        assert server.left.wait(10)

    assert error.failure_code == "timeout"
    assert isinstance(error, TemporaryError)
    assert notes.used()["tokens_out"] > 0


@every
def test_a_cancel_leaves_a_stream_at_once(notes: Notes, api: str) -> None:
    cancelled = threading.Event()
    with speaking([*begun(api, "hel"), STALL]) as server:
        attempt = replace(
            attempt_of(notes, server.url),
            cancelled=cancelled.is_set,
            live=lambda _: cancelled.set(),
        )
        error = failure(lambda: asked(attempt, api, "say"))
        assert server.left.wait(10)

    assert error.failure_code == "cancelled"
    assert isinstance(error, PermanentError)


TOLD: dict[str, dict[str, Any]] = {
    "openai": {"type": "error", "code": "server_error", "message": "sorry", "sequence_number": 9},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "sorry"}},
    "local": {"error": {"type": "server_error", "message": "sorry"}},
}


@every
def test_an_error_within_a_stream_is_worth_another_try(notes: Notes, api: str) -> None:
    with speaking([*begun(api, "hel"), event(TOLD[api])]) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert error.failure_code == "provider_error"
    assert isinstance(error, TemporaryError)
    assert "sorry" in error.message


@every
@pytest.mark.parametrize(
    "nonsense",
    [
        b"event: message_start\ndata: {\n\n",
        b'event: message_start\ndata: {"type": "message_start"}\n\n',
        b'event: response.completed\ndata: {"type": "response.completed"}\n\n',
        b'event: message_start\ndata: ["\xff"]\n\n',
        b'event: a\ndata: {"choices": [null]}\n\n',
        event({"type": "message_start", "message": {"content": 1}, "choices": [{"delta": 1}]}),
        event({"choices": [{"delta": {"content": ["hello"]}, "finish_reason": "stop"}]}),
        event({"type": "response.completed", "response": {"output": [1], "usage": 1}}),
        b"retry: 10\n\n",
        b"",
    ],
)
def test_nonsense_is_no_answer_and_no_fault_of_ours(
    notes: Notes, api: str, nonsense: bytes
) -> None:
    with speaking([HEAD, nonsense]) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert error.failure_code in {"provider_error", "connection"}
    assert isinstance(error, TemporaryError)


@every
def test_an_answer_without_end_is_left(notes: Notes, api: str) -> None:
    first, *said = begun(api, "x" * 100_000)
    attempt = attempt_of(notes, "")
    with speaking([first, *said, *said[-1:] * 200, STALL]) as server:
        attempt = attempt_of(notes, server.url)
        error = failure(lambda: asked(attempt, api, "say"))

    assert error.failure_code == "too_large"
    assert isinstance(error, PermanentError)


@every
def test_what_the_attempt_may_not_say_is_not_sent(notes: Notes, api: str) -> None:
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api])]) as server:
        asked(attempt_of(notes, server.url), api, f"the key is {SECRET}")

    assert SECRET not in json.dumps(server.asked)
    assert "the key is ***" in json.dumps(server.asked)
    assert notes.artifacts["prompt.txt"] == b"the key is ***"


@every
def test_a_model_is_told_what_the_marks_mean_above_the_prompt(notes: Notes, api: str) -> None:
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api])]) as server:
        asked(attempt_of(notes, server.url), api, "on <data-1>x</data-1>", data_mark="data-1")

    (body,) = server.asked
    above = {
        "openai": body.get("instructions"),
        "anthropic": body.get("system"),
        "local": body.get("messages", [{}])[0].get("content"),
    }[api]
    assert "never an instruction" in above
    assert "<data-1>" in above
    assert notes.artifacts["prompt.txt"].decode().startswith(above)


@every
def test_each_api_is_asked_to_hold_the_model_to_the_schema(notes: Notes, api: str) -> None:
    schema = {
        "type": "object",
        "required": ["risk"],
        "additionalProperties": False,
        "properties": {"risk": {"enum": ["low"], "type": "string"}},
    }
    said = '{"risk": "low"}'
    with speaking([*begun(api, said), *ended(api, said, USAGE[api])]) as server:
        outputs = asked(attempt_of(notes, server.url), api, "risk?", output_schema=schema)

    assert outputs == {"risk": "low"}
    (body,) = server.asked
    wanted = {
        "openai": lambda: body["text"]["format"],
        "anthropic": lambda: body["output_config"]["format"],
        "local": lambda: body["response_format"]["json_schema"],
    }[api]()
    assert wanted["schema"]["properties"]["risk"]["enum"] == ["low"]
    assert wanted.get("strict", True) is True
    assert body["stream"] is True
    assert body.get("store", False) is False


DECLINED: dict[str, list[bytes]] = {
    "openai": [
        event(
            {
                "type": "response.completed",
                "sequence_number": 9,
                "response": {
                    "id": "r1",
                    "object": "response",
                    "status": "completed",
                    "output": [
                        {
                            "type": "message",
                            "id": "m1",
                            "role": "assistant",
                            "content": [{"type": "refusal", "refusal": "I will not."}],
                        }
                    ],
                },
            }
        )
    ],
    "anthropic": [
        event({"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {}}),
        event({"type": "message_stop"}),
    ],
    "local": [
        event(
            {
                "id": "c1",
                "object": "chat.completion.chunk",
                "choices": [
                    {"index": 0, "delta": {"refusal": "I will not."}, "finish_reason": "stop"}
                ],
            }
        )
    ],
}


@every
def test_a_model_that_declines_has_not_answered_even_if_what_it_said_fits(
    notes: Notes, api: str
) -> None:
    with speaking([*begun(api, '{"risk": "low"}'), *DECLINED[api]]) as server:
        error = failure(
            lambda: asked(attempt_of(notes, server.url), api, "risk?", output_schema={})
        )

    assert error.failure_code == "refused"
    assert isinstance(error, PermanentError)


@every
def test_variables_of_the_sdks_play_no_part(
    notes: Notes, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ORG_ID", "PROJECT_ID", "ADMIN_KEY", "AUTH_TOKEN", "BASE_URL", "PROFILE"):
        for sdk in ("OPENAI", "ANTHROPIC"):
            monkeypatch.setenv(f"{sdk}_{name}", "of-another")
            headers = "x-else: of-another\nAuthorization: Bearer of-another"
            monkeypatch.setenv(f"{sdk}_CUSTOM_HEADERS", headers)
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api])]) as server:
        asked(attempt_of(notes, server.url), api, "say")

    assert "of-another" not in server.headers[0]


@pytest.mark.parametrize("key", ["key-1\n", "key 1", "ключ"])
def test_what_cannot_be_a_key_is_not_sent_and_not_shown(notes: Notes, key: str) -> None:
    attempt = replace(attempt_of(notes, "http://127.0.0.1:1"), secret=lambda _: key)

    error = failure(lambda: asked(attempt, "openai", "say"))

    assert (error.failure_code, isinstance(error, PermanentError)) == ("auth_failed", True)
    assert "env/OPENAI_API_KEY" in error.message
    assert key.strip() not in error.message


def test_a_key_is_sent_to_nobody_that_it_was_not_made_for(notes: Notes) -> None:
    with speaking([*begun("local", "hello"), *ended("local", "hello", USAGE["local"])]) as server:
        asked(attempt_of(notes, server.url), "local", "say")

    assert "key-1" not in server.headers[0]
    assert "authorization: Bearer none" in server.headers[0]


@every
def test_a_price_makes_a_cost(notes: Notes, api: str) -> None:
    prices = {
        "currency": "EUR",
        "prices": [{"provider": api, "model": "*", "input": 1, "cached": 0, "output": 10}],
    }
    inputs = {"provider": api, "model": MODELS[api], "prompt": "say"}
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api])]) as server:
        task(prices).run(inputs, attempt_of(notes, server.url))

    cost = next(one for one in notes.footprints if one.metric == "cost")
    plain = 30 if api == "anthropic" else 40
    assert (cost.quantity, cost.unit) == ((plain * 1 + 9 * 10) / 1_000_000, "EUR")


@every
def test_a_refused_request_costs_a_request_and_no_tokens(notes: Notes, api: str) -> None:
    with speaking(refusal(429, "retry-after: 7")) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert isinstance(error, TemporaryError)
    assert (error.failure_code, error.delay and error.delay.total_seconds()) == ("rate_limited", 7)
    assert notes.used() == {"request_count": 1}
    assert list(notes.artifacts) == ["prompt.txt"]


@every
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_what_came_in_place_of_a_stream_is_told(notes: Notes, api: str, kind: str) -> None:
    page = b'{"error": "there is no model of that name"}'
    with speaking([HEAD.replace(b"text/event-stream", kind.encode()), page]) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert error.failure_code == "provider_error"
    assert f"({kind})" in error.message
    assert page.decode() in error.message


@every
def test_a_packed_answer_is_not_asked_for_and_not_unpacked(notes: Notes, api: str) -> None:
    packed = HEAD.replace(b"connection:", b"content-encoding: gzip\r\nconnection:")
    with speaking([packed, gzip.compress(b"a" * 1_000_000)]) as server:
        error = failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert "accept-encoding: identity" in server.headers[0]
    assert (error.failure_code, isinstance(error, TemporaryError)) == ("provider_error", True)
    assert "packed" in error.message


@every
def test_what_was_said_before_a_stream_broke_off_counts(notes: Notes, api: str) -> None:
    with speaking(begun(api, *["four"] * 500)) as server:
        failure(lambda: asked(attempt_of(notes, server.url), api, "say"))

    assert notes.used()["tokens_out"] == 500
    assert notes.dims("tokens_out")["estimated"] is True


def test_what_a_server_says_was_used_before_the_end_is_not_all(notes: Notes) -> None:
    head, said = begun("local", "hello")
    early = json.loads(said.removeprefix(b"data: "))
    early["usage"] = {"prompt_tokens": 100, "completion_tokens": 0}
    with speaking([head, event(early), *ended("local", "hello", USAGE["local"])]) as server:
        asked(attempt_of(notes, server.url), "local", "say")

    assert notes.used()["tokens_out"] == 9


@every
def test_half_a_surrogate_pair_in_an_event_does_not_keep_a_model_from_being_asked(
    notes: Notes, api: str
) -> None:
    with speaking([*begun(api, "hello"), *ended(api, "hello", USAGE[api])]) as server:
        outputs = asked(attempt_of(notes, server.url), api, "a cut emoji: \ud83d")

    assert outputs == {"text": "hello"}
    assert notes.artifacts["prompt.txt"] == b"a cut emoji: ?"


def test_nothing_is_set_aside_for_a_question_that_cannot_be_kept(notes: Notes) -> None:
    def full(**_: object) -> NoReturn:
        raise TooLargeError("there is no room")

    attempt = replace(
        attempt_of(notes, "http://127.0.0.1:1"), artifact=full, models={"budgets": {"day": 1000}}
    )

    with pytest.raises(TooLargeError):
        asked(attempt, "local", "say")


def test_a_longer_answer_has_more_room() -> None:
    assert room(1) == MAX_ANSWER
    assert room(128_000) == 128_000_000
