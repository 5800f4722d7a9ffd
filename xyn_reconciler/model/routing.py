"""Which model a step asks on a node: aliases, the node's override, whom to ask next.

Pure. Validation asks it whether a step can run, compilation how many attempts the
order gives, the worker whom this attempt asks. Providers and models are those of
``node.yaml``, as a node's settings or its document hold them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Target(NamedTuple):
    """A model of a provider."""

    provider: str
    model: str


def target(models: Mapping[str, Any], provider: str | None, model: str) -> Target | None:
    """Whom a step asks first; ``None`` for an alias that means nothing here."""
    if provider is None:
        named = (models.get("aliases") or {}).get(model)
        if named is None:
            return None
        provider, model = named["provider"], named["model"]
    override = models.get("override") or {}
    for pattern in (f"{provider}/{model}", f"{provider}/*", "*"):
        if pattern in override:
            return Target(override[pattern]["provider"], override[pattern]["model"])
    return Target(str(provider), model)


def order(
    providers: Mapping[str, Any], models: Mapping[str, Any], provider: str | None, model: str
) -> list[Target]:
    """Whom the attempts of a step ask, one after the other: the first, then the fallback.

    The override holds for the fallback too: it is there to keep what it names from being asked.
    What is not enabled is left out of the fallback. The first stays: to ask another
    because it is switched off would be another decision than the author's.
    """
    first = target(models, provider, model)
    if first is None:
        return []
    found = [first]
    for entry in models.get("fallback") or []:
        other = target(models, entry["provider"], entry["model"])
        if other and other not in found and enabled(providers, other.provider):
            found.append(other)
    return found


def enabled(providers: Mapping[str, Any], provider: str) -> bool:
    """Whether a node's definition switches a provider on."""
    return bool((providers.get(provider) or {}).get("enabled"))
