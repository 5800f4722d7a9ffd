"""Ask through ``agent_task`` as the engine would, and keep what an attempt leaves."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.agent.router import AgentTask, Surroundings
from xyn_reconciler.model.capability import Footprint
from xyn_reconciler.model.errors import StepError
from xyn_reconciler.node.agents import network

MODELS = {"openai": "gpt-5", "anthropic": "claude-sonnet-5-5", "local": "llama4"}
"""A model of each API; ``local`` speaks Chat Completions, as Ollama and vLLM do."""

SECRET = "a-very-secret-value"


class Notes:
    """What the attempts of a test left: log, live text, footprints, artifacts by name."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.live: list[str] = []
        self.footprints: list[Footprint] = []
        self.artifacts: dict[str, bytes] = {}
        self.kinds: dict[str, tuple[str, str]] = {}

    def artifact(
        self,
        *,
        name: str,
        kind: str,
        content_type: str,
        content: bytes | BinaryIO,
        retention: str | None = None,
    ) -> uuid.UUID:
        assert retention is None
        assert isinstance(content, bytes)
        self.artifacts[name] = content
        self.kinds[name] = (kind, content_type)
        return uuid.uuid4()

    def used(self) -> dict[str, float]:
        """Quantities by metric."""
        return {one.metric: one.quantity for one in self.footprints}

    def dims(self, metric: str) -> Mapping[str, Any]:
        return next(one.dims for one in self.footprints if one.metric == metric)


def attempt_of(notes: Notes, url: str) -> ActionContext:
    """An attempt on a node whose providers all are at ``url``."""
    return an_attempt(
        log=notes.log.append,
        live=notes.live.append,
        secret={"env/OPENAI_API_KEY": "key-1", "env/ANTHROPIC_API_KEY": "key-2"}.get,
        providers=at(url),
        artifact=notes.artifact,
        footprint=notes.footprints.append,
    )


def at(url: str) -> dict[str, dict[str, Any]]:
    return {
        "openai": {"enabled": True, "base_url": f"{url}/v1"},
        "anthropic": {"enabled": True, "base_url": url},
        "local": {"enabled": True, "kind": "openai", "base_url": f"{url}/v1"},
    }


def asked(context: ActionContext, provider: str, prompt: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
    inputs = {"provider": provider, "model": MODELS[provider], "prompt": prompt, **more}
    return task().run(inputs, context)


def task(prices: Mapping[str, Any] | None = None) -> AgentTask[ActionContext]:
    return AgentTask(
        Surroundings(
            connect=network,
            redact=lambda text: text.replace(SECRET, "***"),
            set_aside=_no_budget,
            prices=lambda: prices,
        )
    )


def _no_budget(run_id: uuid.UUID, step_id: uuid.UUID, decide: object) -> NoReturn:
    del run_id, step_id, decide
    raise AssertionError("without budgets nothing is set aside")


def failure(act: Callable[[], object]) -> StepError:
    with pytest.raises(StepError) as caught:
        act()
    return caught.value
