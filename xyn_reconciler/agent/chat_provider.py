"""OpenAI's Chat Completions API, as Ollama, vLLM and others speak it.

Imported at the first question, as its SDK takes seconds to load.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx2
import openai

from xyn_reconciler.agent.openai_provider import connected, json_schema
from xyn_reconciler.agent.question import Answer, Question
from xyn_reconciler.agent.stream import Events, listen, text_of
from xyn_reconciler.agent.usage import chat_usage
from xyn_reconciler.model.errors import StepError


def ask(
    question: Question,
    *,
    key: str,
    base_url: str,
    client: httpx2.Client,
    timeout: float,
    say: Callable[[str], None],
) -> Answer:
    """Ask once."""
    api = connected(key, base_url, client, timeout)
    begin = functools.partial(
        api.chat.completions.create,
        model=question.model,
        messages=_messages(question),
        max_tokens=question.max_output_tokens,
        stream=True,
        stream_options={"include_usage": True},
        **_format(question.output_schema),
    )
    return listen(openai, cast("Callable[[], Events]", begin), _Told(say))


def _messages(question: Question) -> list[dict[str, str]]:
    system = [] if question.system is None else [{"role": "system", "content": question.system}]
    return [*system, {"role": "user", "content": question.prompt}]


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {}
    return {"response_format": {"type": "json_schema", "json_schema": json_schema(schema)}}


class _Told:
    """The pieces of one answer; what it used comes with its end or after, from servers that say.

    Some say it with each piece; what they say before the end is not all.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: list[str] = []
        self._refused: list[str] = []
        self._about: dict[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        self._reason: str | None = None
        self.done = False

    @property
    def whole(self) -> bool:
        return self._reason is not None

    def take(self, event: Mapping[str, Any]) -> None:
        self._about |= {key: event.get(key) for key in ("id", "model", "created")}
        for choice in (event.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            for name, pieces in (("content", self._said), ("refusal", self._refused)):
                if piece := text_of(delta.get(name)):
                    pieces.append(piece)
                    self._say(piece)
            if reason := choice.get("finish_reason"):
                self._reason = str(reason)
        if isinstance(event.get("usage"), Mapping):
            self._usage = event["usage"]
            self.done = self.whole

    def answer(self, failure: StepError | None) -> Answer:
        said, refused = "".join(self._said), "".join(self._refused)
        message = {"role": "assistant", "content": said, "refusal": refused or None}
        raw = {
            **self._about,
            "choices": [{"index": 0, "message": message, "finish_reason": self._reason}],
            "usage": self._usage,
        }
        return Answer(
            text=said or refused,
            raw=json.dumps(raw, indent=2).encode() if self._about else b"",
            usage=None if self._usage is None else chat_usage(self._usage),
            stopped="refused" if refused else _stopped(self._reason),
            failure=failure,
        )


def _stopped(reason: str | None) -> str | None:
    match reason:
        case None | "stop":
            return None
        case "length":
            return "max_tokens"
        case "content_filter":
            return "refused"
    return reason
