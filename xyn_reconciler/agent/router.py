"""``agent_task``: from a step's inputs to the provider that answers, and its answer as outputs.

The one entry of this room, shaped as an action is, so that the engine runs it
as one. A provider's SDK and the HTTP client are imported by the first question,
never at start. The address in ``base_url`` of ``node.yaml`` is the node owner's word:
exactly that host and port is reachable for questions, and nothing else by it.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from xyn_reconciler.agent.answers import outputs_of
from xyn_reconciler.agent.question import Answer, Ask, Question
from xyn_reconciler.model.capability import ActionSpec, AttemptContext, Footprint
from xyn_reconciler.model.errors import PermanentError

if TYPE_CHECKING:
    import httpx2

MAX_OUTPUT_TOKENS: Final = 8192
"""The longest answer where the step's ``budget`` says nothing; both APIs' models can."""

Context = TypeVar("Context", bound=AttemptContext)

Connect = Callable[[Context, str | None], "httpx2.BaseTransport"]
"""Makes the network of one attempt.

Its connections end with the attempt. The second argument is ``host:port`` that may be connected
to whatever the egress rule says.
"""

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["provider", "model", "prompt"],
    "properties": {
        "provider": {"type": "string"},
        "model": {"type": "string", "minLength": 1},
        "prompt": {"type": "string", "minLength": 1},
        "output_schema": {"type": "object"},
        "budget": {
            "type": "object",
            "properties": {"max_output_tokens": {"type": "integer", "minimum": 1}},
        },
    },
}


def _openai() -> Ask:
    from xyn_reconciler.agent.openai_provider import ask  # noqa: PLC0415 - see the module's word

    return ask


def _anthropic() -> Ask:
    from xyn_reconciler.agent.anthropic_provider import ask  # noqa: PLC0415 - see the module's word

    return ask


_PROVIDERS: Final[Mapping[str, tuple[Callable[[], Ask], str, str]]] = {
    "openai": (_openai, "https://api.openai.com/v1", "env/OPENAI_API_KEY"),
    "anthropic": (_anthropic, "https://api.anthropic.com", "env/ANTHROPIC_API_KEY"),
}
"""How to ask each, where, and with which key, where ``node.yaml`` says nothing else."""


class AgentTask(Generic[Context]):
    """Runs steps of kind ``agent_task``."""

    spec = ActionSpec(
        "agent_task",
        "Ask a model.",
        INPUT_SCHEMA,
        {"type": "object"},
        idempotent=True,  # Asked twice it costs twice, and changes nothing.
    )

    def __init__(self, connect: Connect[Context]) -> None:
        self._connect = connect

    def run(self, inputs: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Ask, and give the object of ``output_schema``; without one ``{text}``.

        Codes: ``provider_disabled``, ``not_installed``, ``secret_not_found``,
        ``egress_denied``, ``connection``, ``rate_limited``, ``provider_error``,
        ``provider_refused``, ``auth_failed``, ``timeout``, ``cancelled``,
        ``invalid_output``, ``refused``, ``max_tokens``.
        """
        provider, schema = inputs["provider"], inputs.get("output_schema")
        question = Question(
            model=inputs["model"],
            prompt=inputs["prompt"],
            output_schema=schema,
            max_output_tokens=inputs.get("budget", {}).get("max_output_tokens", MAX_OUTPUT_TOKENS),
        )
        _keep(context, "prompt.txt", "prompt", "text/plain; charset=utf-8", question.prompt)
        answer = self._ask(provider, question, context)
        _keep(context, "response.json", "response", "application/json", answer.raw)
        for footprint in answer.usage.footprints(provider, question.model):
            context.footprint(footprint)
        return outputs_of(answer, schema)

    def _ask(self, provider: str, question: Question, context: Context) -> Answer:
        load, usual_url, usual_key = _known(provider)
        settings = context.providers.get(provider, {})
        if not settings.get("enabled"):
            message = (
                f"the provider {provider} is not enabled on this node; to enable it, write in"
                f" node.yaml: providers: {{{provider}: {{enabled: true}}}}"
            )
            raise PermanentError("provider_disabled", message)
        base_url = settings.get("base_url")
        reference = settings.get("key_ref") or usual_key
        key = context.secret(reference)
        if not key:
            raise PermanentError("secret_not_found", f"there is no secret {reference} on this node")
        import httpx2  # noqa: PLC0415 - see the module's word

        ask = load()
        network = self._connect(context, None if base_url is None else _address(base_url))
        with httpx2.Client(transport=network, trust_env=False) as client:
            dims = {"provider": provider, "model": question.model}
            context.footprint(Footprint("request_count", 1, "count", dims))
            began = time.monotonic()
            answer = ask(
                question,
                key=key,
                base_url=base_url or usual_url,
                client=client,
                timeout=max(context.seconds_left(), 0.1),
            )
        usage = answer.usage
        context.log(
            f"{provider} {question.model}: {usage.tokens_in} tokens in, {usage.tokens_out} out,"
            f" {time.monotonic() - began:.1f} s"
        )
        return answer


def _known(provider: str) -> tuple[Callable[[], Ask], str, str]:
    found = _PROVIDERS.get(provider)
    if found is None:
        message = f"the provider {provider} cannot be asked; there are {', '.join(_PROVIDERS)}"
        raise PermanentError("not_installed", message)
    return found


def _address(base_url: str) -> str:
    """Give ``host:port`` as an entry of ``egress.allow`` has it."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _keep(
    context: AttemptContext, name: str, kind: str, content_type: str, content: str | bytes
) -> None:
    if context.artifact is not None:
        data = content.encode() if isinstance(content, str) else content
        context.artifact(name=name, kind=kind, content_type=content_type, content=data)
