"""Anthropic's Messages API. Imported at the first question: its SDK takes seconds to load."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import anthropic
import httpx2

from xyn_reconciler.agent.question import Answer, Question
from xyn_reconciler.agent.stream import Events, listen, text_of
from xyn_reconciler.agent.usage import anthropic_usage
from xyn_reconciler.model.errors import StepError

_PARTS: Final = {"text_delta": "text", "thinking_delta": "thinking"}
"""What a piece is of -> where in its block it belongs."""


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
    api = anthropic.Anthropic(
        api_key=key, base_url=base_url, http_client=client, max_retries=0, timeout=timeout
    )
    # ANTHROPIC_CUSTOM_HEADERS may be credentials of another server.
    api._custom_headers = {}  # noqa: SLF001 - as said above
    begin = functools.partial(
        api.messages.create,
        model=question.model,
        max_tokens=question.max_output_tokens,
        stream=True,
        **_asked(question),
    )
    return listen(anthropic, cast("Callable[[], Events]", begin), _Told(say))


def _asked(question: Question) -> dict[str, Any]:
    """Give the messages, how to read them, and the shape of the answer."""
    system = [] if question.system is None else [question.system]
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": question.prompt}]}
    if question.output_schema is not None:
        try:
            # What the API cannot hold the model to becomes part of the schema's description.
            schema = anthropic.transform_schema(dict(question.output_schema))
            asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        except (ValueError, TypeError, AttributeError):
            # Not of the kind that the API knows (a member without a type): said in words, and
            # validated as any other.
            words = json.dumps(dict(question.output_schema))
            system.append(f"Answer with one JSON object, no more, that fits: {words}")
    return asked | ({"system": "\n\n".join(system)} if system else {})


class _Told:
    """The events of one message, put together as the API gives it in one piece."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self.whole = False

    @property
    def done(self) -> bool:
        return self.whole

    def take(self, event: Mapping[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self._message = dict(event["message"])
                self._count(self._message.get("usage"))
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                self._add(self._blocks.setdefault(event["index"], {}), event["delta"])
            case "message_delta":
                self._message |= {
                    name: value for name, value in event["delta"].items() if value is not None
                }
                self._count(event.get("usage"))
            case "message_stop":
                self.whole = True

    def _add(self, block: dict[str, Any], delta: Mapping[str, Any]) -> None:
        name = _PARTS.get(delta.get("type") or "")
        if name is None:
            return
        piece = text_of(delta.get(name))
        block[name] = (block.get(name) or "") + piece
        if name == "text":
            self._say(piece)

    def _count(self, usage: object) -> None:
        # Each count is of all so far; what an event does not know again is null.
        if isinstance(usage, Mapping):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def answer(self, failure: StepError | None) -> Answer:
        blocks = list(self._blocks.values())
        said = [text_of(block.get("text")) for block in blocks if block.get("type") == "text"]
        raw = {**self._message, "content": blocks, "usage": self._usage}
        return Answer(
            text="".join(said),
            raw=json.dumps(raw, indent=2).encode() if self._message else b"",
            usage=anthropic_usage(self._usage) if self._usage else None,
            stopped=_stopped(str(self._message.get("stop_reason") or "end_turn")),
            failure=failure,
        )


def _stopped(reason: str) -> str | None:
    if reason in {"end_turn", "stop_sequence"}:
        return None
    if reason in {"max_tokens", "model_context_window_exceeded"}:
        return "max_tokens"
    return "refused" if reason == "refusal" else reason
