"""OpenAI's Responses API. Imported at the first question: its SDK takes seconds to load."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import httpx2
import openai

from xyn_reconciler.agent.failures import of_connection, of_status
from xyn_reconciler.agent.question import Answer, Question
from xyn_reconciler.agent.usage import openai_usage
from xyn_reconciler.model.errors import PermanentError


def ask(
    question: Question, *, key: str, base_url: str, client: httpx2.Client, timeout: float
) -> Answer:
    """Ask once; nothing is kept at the provider (``store=False``)."""
    api = openai.OpenAI(
        api_key=key, base_url=base_url, http_client=client, max_retries=0, timeout=timeout
    )
    try:
        response = api.responses.create(
            model=question.model,
            input=question.prompt,
            max_output_tokens=question.max_output_tokens,
            store=False,
            **_format(question.output_schema),
        )
    except openai.APIStatusError as error:
        refusal = error.response
        raise of_status(
            refusal.status_code, refusal.headers, error.message, now=dt.datetime.now(dt.UTC)
        ) from error
    except openai.APIConnectionError as error:
        raise of_connection(error) from error
    except openai.OpenAIError as error:
        raise PermanentError("provider_error", f"the answer cannot be read: {error}") from error
    return _answer(response.model_dump(mode="json", warnings=False), response.to_json())


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {}
    wanted = {
        "type": "json_schema",
        "name": "answer",
        "schema": dict(schema),
        "strict": is_strict(schema),
    }
    return {"text": {"format": wanted}}


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


def _answer(raw: Mapping[str, Any], text: str) -> Answer:
    said, refused = [], []
    for item in raw.get("output") or []:
        for part in (item.get("content") or []) if item.get("type") == "message" else []:
            if part.get("type") == "output_text":
                said.append(part.get("text") or "")
            elif part.get("type") == "refusal":
                refused.append(part.get("refusal") or "")
    why = (raw.get("error") or {}).get("message")
    return Answer(
        text="".join(said or refused) or why or "",
        raw=text.encode(),
        usage=openai_usage(raw.get("usage") or {}),
        stopped="refused" if refused else _stopped(raw),
    )


def _stopped(raw: Mapping[str, Any]) -> str | None:
    if raw.get("status") == "incomplete":
        reason = (raw.get("incomplete_details") or {}).get("reason")
        return "refused" if reason == "content_filter" else "max_tokens"
    if raw.get("status") in {"failed", "cancelled"}:
        return str((raw.get("error") or {}).get("code") or raw["status"])
    return None
