"""OpenAI's Responses API. Imported at the first question: its SDK takes seconds to load."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx2
import openai

from xyn_reconciler.agent.failures import of_stream
from xyn_reconciler.agent.question import Answer, Question
from xyn_reconciler.agent.stream import Events, listen, text_of
from xyn_reconciler.agent.usage import Usage, responses_usage
from xyn_reconciler.model.errors import StepError

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SAID = frozenset({"response.output_text.delta", "response.refusal.delta"})


def ask(
    question: Question,
    *,
    key: str,
    base_url: str,
    client: httpx2.Client,
    timeout: float,
    say: Callable[[str], None],
) -> Answer:
    """Ask once; nothing is kept at the provider (``store=False``)."""
    api = connected(key, base_url, client, timeout)
    begin = functools.partial(
        api.responses.create,
        model=question.model,
        instructions=question.system if question.system is not None else openai.omit,
        input=question.prompt,
        max_output_tokens=question.max_output_tokens,
        store=False,
        stream=True,
        **_format(question.output_schema),
    )
    return listen(openai, cast("Callable[[], Events]", begin), _Told(say))


def connected(key: str, base_url: str, client: httpx2.Client, timeout: float) -> openai.OpenAI:
    """Give the SDK for one question; what its variables of the environment say plays no part."""
    api = openai.OpenAI(
        api_key=key, base_url=base_url, http_client=client, max_retries=0, timeout=timeout
    )
    api.organization = api.project = None
    api._custom_headers = {}  # noqa: SLF001 - OPENAI_CUSTOM_HEADERS: credentials of another server
    return api


class _Told:
    """The events of one response: its last one holds all of it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._pieces: list[str] = []
        self._began = False
        self._last: Mapping[str, Any] | None = None

    @property
    def whole(self) -> bool:
        return self._last is not None

    done = whole

    def take(self, event: Mapping[str, Any]) -> None:
        self._began = True
        if event.get("type") in _SAID:
            piece = text_of(event.get("delta"))
            self._pieces.append(piece)
            self._say(piece)
        elif event.get("type") in _LAST:
            self._last = event["response"]
        elif event.get("type") == "error":
            raise of_stream(event.get("code"), str(event.get("message")))

    def answer(self, failure: StepError | None) -> Answer:
        if self._last is not None:
            return _answer(self._last)
        text = "".join(self._pieces)
        raw = json.dumps({"output_text": text}).encode() if self._began else b""
        return Answer(text=text, raw=raw, usage=None, failure=failure)


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {}
    return {"text": {"format": {"type": "json_schema", **json_schema(schema)}}}


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema as both of OpenAI's APIs take it."""
    return {"name": "answer", "schema": dict(schema), "strict": is_strict(schema)}


def is_strict(schema: Any) -> bool:  # noqa: ANN401 - any part of a schema
    """Whether a schema is one that OpenAI can hold the model to: every member said and required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        members = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(members):
            return False
        return all(map(is_strict, members.values()))
    return not {"oneOf", "allOf", "not"} & set(schema) and all(map(is_strict, schema.values()))


def _answer(raw: Mapping[str, Any]) -> Answer:
    said, refused = [], []
    for item in raw.get("output") or []:
        for part in (item.get("content") or []) if item.get("type") == "message" else []:
            if part.get("type") == "output_text":
                said.append(text_of(part.get("text")))
            elif part.get("type") == "refusal":
                refused.append(text_of(part.get("refusal")))
    why = (raw.get("error") or {}).get("message")
    return Answer(
        text="".join(said or refused) or text_of(why),
        raw=json.dumps(raw, indent=2).encode(),
        usage=_usage(raw),
        stopped="refused" if refused else _stopped(raw),
    )


def _usage(raw: Mapping[str, Any]) -> Usage | None:
    return responses_usage(raw["usage"]) if isinstance(raw.get("usage"), Mapping) else None


def _stopped(raw: Mapping[str, Any]) -> str | None:
    if raw.get("status") == "incomplete":
        reason = (raw.get("incomplete_details") or {}).get("reason")
        return "refused" if reason == "content_filter" else "max_tokens"
    if raw.get("status") in {"failed", "cancelled"}:
        return str((raw.get("error") or {}).get("code") or raw["status"])
    return None
