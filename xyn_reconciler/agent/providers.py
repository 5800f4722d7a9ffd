"""Which provider is asked how, where and with which key, by ``node.yaml``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from xyn_reconciler.agent.question import Ask
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.model.routing import enabled

NO_KEY: Final = "none"
"""What a server is sent that wants no key: the SDKs insist on one."""

_USUAL: Final = {
    "openai": ("https://api.openai.com/v1", "env/OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com", "env/ANTHROPIC_API_KEY"),
}
"""Where each is, and with which key, where ``node.yaml`` says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How to ask one."""

    load: Callable[[], Ask]
    """Imports its SDK, which takes seconds."""
    base_url: str
    address: str | None
    """``host:port`` that its owner named, which may be connected to whatever the egress rule
    says."""
    key_ref: str | None
    """``None`` for a server that wants none."""


def provider_of(name: str, providers: Mapping[str, Mapping[str, Any]]) -> Provider:
    """Read a provider's settings.

    Raises ``PermanentError``: ``provider_disabled``, or ``not_installed`` for one that nobody
    knows how to ask.
    """
    settings = providers.get(name, {})
    kind = settings.get("kind") or name
    if kind not in _USUAL or (name not in _USUAL and "base_url" not in settings):
        known = ", ".join([*_USUAL, *sorted(set(providers) - set(_USUAL))])
        message = f"the provider {name} cannot be asked; there are {known}"
        raise PermanentError("not_installed", message)
    if not enabled(providers, name):
        message = (
            f"the provider {name} is not enabled on this node; to enable it, write in"
            f" node.yaml: providers: {{{name}: {{enabled: true}}}}"
        )
        raise PermanentError("provider_disabled", message)
    usual_url, usual_key = _USUAL[kind]
    base_url = settings.get("base_url")
    api = settings.get("api") or ("responses" if name == "openai" else "chat")
    return Provider(
        load=_anthropic if kind == "anthropic" else _openai if api == "responses" else _chat,
        base_url=base_url or usual_url,
        address=None if base_url is None else _address(base_url),
        # A key is never sent to another than it was made for, unless it is referred to.
        key_ref=settings.get("key_ref") or (usual_key if name == kind else None),
    )


def _openai() -> Ask:
    from xyn_reconciler.agent.openai_provider import ask  # noqa: PLC0415 - see Provider.load

    return ask


def _chat() -> Ask:
    from xyn_reconciler.agent.chat_provider import ask  # noqa: PLC0415 - see Provider.load

    return ask


def _anthropic() -> Ask:
    from xyn_reconciler.agent.anthropic_provider import ask  # noqa: PLC0415 - see Provider.load

    return ask


def _address(base_url: str) -> str:
    """Give ``host:port`` as an entry of ``egress.allow`` has it."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
