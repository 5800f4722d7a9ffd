"""Streams whose events are not what the APIs promise, through the real SDKs and no network."""

import contextlib
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.agent.asking import MODELS, at
from tests.integration.agent.speaking import begun, ended, event
from xyn_reconciler.agent.answers import outputs_of
from xyn_reconciler.agent.bounded import Bounded
from xyn_reconciler.agent.providers import provider_of
from xyn_reconciler.agent.question import Question
from xyn_reconciler.model.errors import StepError

ODD: list[Any] = [None, True, -1, 10**30, 1.5, "", "x", "\ud800", [], [1], [[]], {}, {"a": 1}]
URL = "http://models.example"


class Said(httpx2.BaseTransport):
    """A network that brings one answer, whatever is asked."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=self.body, request=request)


def parts(holder: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - JSON
    """Every place within a value: what holds it, and under which key or number."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        yield holder, key
        if isinstance(holder[key], (dict, list)):
            yield from parts(holder[key])


@pytest.mark.parametrize("api", MODELS)
@settings(max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_a_provider_sends_ends_as_an_answer_or_a_failure(
    api: str, data: st.DataObject
) -> None:
    usage = {"input_tokens": 9, "output_tokens": 4, "output_tokens_details": {"a": 1}}
    stream = b"".join([*begun(api, "he", "llo")[1:], *ended(api, "hello", usage)])
    events = [json.loads(each) for each in re.findall(rb"^data: ([{].*)$", stream, re.MULTILINE)]
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(list(parts(events))))
        holder[key] = deepcopy(data.draw(st.sampled_from(ODD)))

    said: list[str] = []
    with httpx2.Client(transport=Bounded(Said(b"".join(map(sent, events))))) as client:
        answer = provider_of(api, at(URL)).load()(
            Question(model="m", prompt="say", output_schema=None, max_output_tokens=9),
            key="k",
            base_url=f"{URL}/v1",
            client=client,
            timeout=5,
            say=said.append,
        )

    assert all(isinstance(each, str) for each in [answer.text, *said])
    assert answer.usage is None or answer.usage.tokens < 2**63
    if answer.failure is None:
        with contextlib.suppress(StepError):
            outputs_of(answer, None)


def sent(said: Any) -> bytes:  # noqa: ANN401 - JSON
    if isinstance(said, dict) and str(said.get("type", "é")).isascii():
        return event(said)
    return f"event: message_delta\ndata: {json.dumps(said)}\n\n".encode()
