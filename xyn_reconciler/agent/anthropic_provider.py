"""Anthropic's Messages API. Imported at the first question: its SDK takes seconds to load."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import anthropic
import httpx2

from xyn_reconciler.agent.failures import of_connection, of_status
from xyn_reconciler.agent.question import Answer, Question
from xyn_reconciler.agent.usage import anthropic_usage
from xyn_reconciler.model.errors import PermanentError


def ask(
    question: Question, *, key: str, base_url: str, client: httpx2.Client, timeout: float
) -> Answer:
    """Ask once."""
    api = anthropic.Anthropic(
        api_key=key, base_url=base_url, http_client=client, max_retries=0, timeout=timeout
    )
    try:
        message = api.messages.create(
            model=question.model,
            max_tokens=question.max_output_tokens,
            **_asked(question),
        )
    except anthropic.APIStatusError as error:
        response = error.response
        raise of_status(
            response.status_code, response.headers, error.message, now=dt.datetime.now(dt.UTC)
        ) from error
    except anthropic.APIConnectionError as error:
        raise of_connection(error) from error
    except anthropic.AnthropicError as error:
        raise PermanentError("provider_error", f"the answer cannot be read: {error}") from error
    return _answer(message.model_dump(mode="json", warnings=False), message.to_json())


def _asked(question: Question) -> dict[str, Any]:
    """Give the messages, and the shape of the answer."""
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": question.prompt}]}
    if question.output_schema is None:
        return asked
    try:
        # What the API cannot hold the model to becomes part of the schema's description.
        schema = anthropic.transform_schema(dict(question.output_schema))
    except (ValueError, TypeError, AttributeError):
        # Not of the kind that the API knows (a member without a type): said in words, and
        # validated as any other.
        words = json.dumps(dict(question.output_schema))
        return asked | {"system": f"Answer with one JSON object, no more, that fits: {words}"}
    return asked | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def _answer(raw: Mapping[str, Any], text: str) -> Answer:
    said = [
        block.get("text") or "" for block in raw.get("content") or [] if block.get("type") == "text"
    ]
    return Answer(
        text="".join(said),
        raw=text.encode(),
        usage=anthropic_usage(raw.get("usage") or {}),
        stopped=_stopped(raw.get("stop_reason")),
    )


def _stopped(reason: str | None) -> str | None:
    if reason in {None, "end_turn", "stop_sequence"}:
        return None
    if reason in {"max_tokens", "model_context_window_exceeded"}:
        return "max_tokens"
    return "refused" if reason == "refusal" else reason
