"""``agent_task`` through both real SDKs, against aimock and against servers that hang."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.aimock import Aimock, aimock
from tests.integration.agent.asking import MODELS, Notes, asked, at, attempt_of, failure
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

RISK = {
    "type": "object",
    "required": ["risk"],
    "properties": {"risk": {"enum": ["low", "high"]}},
}
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "plain"},
        "response": {"content": "hello", "usage": {"input_tokens": 100, "output_tokens": 7}},
    },
    {"match": {"userMessage": "risk?"}, "response": {"content": '{"risk": "low"}'}},
    {"match": {"userMessage": "wrong?"}, "response": {"content": '{"risk": "huge"}'}},
    {"match": {"userMessage": "long"}, "response": {"content": "so", "finishReason": "length"}},
    {
        "match": {"userMessage": "filtered"},
        "response": {"content": "no", "finishReason": "content_filter"},
    },
    {
        "match": {"userMessage": "often"},
        "response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429},
    },
    {
        "match": {"userMessage": "down"},
        "response": {"error": {"message": "down", "type": "server_error"}, "status": 503},
    },
    {
        "match": {"userMessage": "bad"},
        "response": {"error": {"message": "no", "type": "invalid_request_error"}, "status": 400},
    },
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    with aimock(tmp_path_factory.mktemp("aimock"), FIXTURES) as found:
        yield found


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def attempt(models: Aimock, notes: Notes) -> ActionContext:
    return attempt_of(notes, models.url)


every = pytest.mark.parametrize("provider", MODELS)
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@every
def test_an_answer_becomes_outputs_with_prompt_and_response_kept(
    attempt: ActionContext, notes: Notes, provider: str
) -> None:
    outputs = asked(attempt, provider, "say something plain")

    assert outputs == {"text": "hello"}
    assert notes.artifacts["prompt.txt"] == b"say something plain"
    assert "hello" in str(json.loads(notes.artifacts["response.json"]))
    assert notes.kinds["response.json"] == ("response", "application/json")
    counts = {one.metric: one.quantity for one in notes.footprints}
    assert counts == {"request_count": 1, "tokens_in": 100, "tokens_out": 7}
    assert {one.dims["provider"] for one in notes.footprints} == {provider}


@every
def test_with_a_schema_the_answer_is_the_outputs(attempt: ActionContext, provider: str) -> None:
    assert asked(attempt, provider, "risk?", output_schema=RISK) == {"risk": "low"}


@every
def test_an_answer_that_does_not_fit_fails_the_attempt_and_is_kept(
    attempt: ActionContext, notes: Notes, provider: str
) -> None:
    error = failure(lambda: asked(attempt, provider, "wrong?", output_schema=RISK))

    assert error.failure_code == "invalid_output"
    assert isinstance(error, TemporaryError)
    assert "huge" in str(json.loads(notes.artifacts["response.json"]))
    assert "tokens_in" in {one.metric for one in notes.footprints}


@every
@pytest.mark.parametrize(
    ("prompt", "code", "kind"),
    [
        ("long", "max_tokens", PermanentError),
        ("filtered", "refused", PermanentError),
        ("often", "rate_limited", TemporaryError),
        ("down", "provider_error", TemporaryError),
        ("bad", "provider_refused", PermanentError),
    ],
)
def test_what_is_no_answer_says_whether_another_try_makes_sense(
    attempt: ActionContext, provider: str, prompt: str, code: str, kind: type[StepError]
) -> None:
    error = failure(lambda: asked(attempt, provider, prompt))

    assert error.failure_code == code
    assert isinstance(error, kind)


@every
def test_the_provider_says_when_to_come_back(attempt: ActionContext, provider: str) -> None:
    error = failure(lambda: asked(attempt, provider, "often"))

    assert isinstance(error, TemporaryError)
    assert error.delay is not None


@every
def test_one_attempt_is_one_request(attempt: ActionContext, models: Aimock, provider: str) -> None:
    before = len(models.seen())

    failure(lambda: asked(attempt, provider, "down"))

    assert len(models.seen()) == before + 1


@every
def test_a_server_that_hangs_is_left_at_the_deadline(attempt: ActionContext, provider: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hurried = replace(attempt, providers=at(url), deadline=time.monotonic() + 3)
        error = failure(lambda: asked(hurried, provider, "plain"))
        silent.settimeout(5)
        connection, _ = silent.accept()

    assert error.failure_code == "timeout"
    assert isinstance(error, TemporaryError)
    assert ended(connection)


@every
def test_a_cancel_closes_the_request_that_is_under_way(
    attempt: ActionContext, provider: str
) -> None:
    cancelled = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        stopped = replace(attempt, providers=at(url), cancelled=cancelled.is_set)
        threading.Timer(1.5, cancelled.set).start()
        error = failure(lambda: asked(stopped, provider, "plain"))
        silent.settimeout(5)
        connection, _ = silent.accept()

    assert error.failure_code == "cancelled"
    assert ended(connection)


def ended(connection: socket.socket) -> bool:
    """Whether the other side closed it, after what it had sent."""
    connection.settimeout(5)
    with connection:
        while connection.recv(65536):
            continue
    return True


def test_half_an_answer_is_worth_another_try(attempt: ActionContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as half:
        url = f"http://127.0.0.1:{half.getsockname()[1]}"

        def serve() -> None:
            connection, _ = half.accept()
            with connection:
                connection.recv(65536)
                head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                connection.sendall(f'{head}content-length: 900\r\n\r\n{{"id": '.encode())

        threading.Thread(target=serve, daemon=True).start()
        error = failure(lambda: asked(replace(attempt, providers=at(url)), "openai", "plain"))

    assert error.failure_code == "connection"
    assert isinstance(error, TemporaryError)


@both
def test_a_provider_that_is_not_enabled_is_not_asked(attempt: ActionContext, provider: str) -> None:
    error = failure(lambda: asked(replace(attempt, providers={}), provider, "plain"))

    assert error.failure_code == "provider_disabled"
    assert f"providers: {{{provider}: {{enabled: true}}}}" in error.message


@every
def test_the_key_is_the_one_that_was_referred_to(
    attempt: ActionContext, models: Aimock, provider: str
) -> None:
    settings = {provider: at(models.url)[provider] | {"key_ref": "env/OTHER"}}

    missing = failure(lambda: asked(replace(attempt, providers=settings), provider, "plain"))
    found = replace(attempt, providers=settings, secret={"env/OTHER": "k"}.get)

    assert missing.failure_code == "secret_not_found"
    assert "env/OTHER" in missing.message
    assert asked(found, provider, "plain") == {"text": "hello"}


@every
def test_base_url_opens_its_own_host_and_port_and_no_other(
    attempt: ActionContext, models: Aimock, provider: str
) -> None:
    port = models.url.rpartition(":")[2]

    reply = (
        f"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{port}/v1/responses\r\n"
        "content-length: 0\r\n\r\n"
    )
    before = len(models.seen())
    with socket.create_server(("127.0.0.1", 0)) as turning:

        def serve() -> None:
            connection, _ = turning.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply.encode())

        threading.Thread(target=serve, daemon=True).start()
        elsewhere = at(f"http://127.0.0.1:{turning.getsockname()[1]}")
        error = failure(lambda: asked(replace(attempt, providers=elsewhere), provider, "plain"))

    assert error.failure_code in {"provider_refused", "egress_denied"}
    assert len(models.seen()) == before
