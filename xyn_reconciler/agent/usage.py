"""Tokens, counted the same for every provider.

Pure. The trap: OpenAI's input tokens include those read from its cache,
Anthropic's do not. Here ``tokens_in`` is all that the model was given, each
token once, and ``cached`` and ``cache_written`` are parts of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.capability import Footprint

_BYTES_A_TOKEN: Final = 4
"""What providers give as a rule of thumb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one request cost, in tokens."""

    tokens_in: int = 0
    tokens_out: int = 0
    """What the model wrote, what it thought included."""
    cached: int = 0
    """Of ``tokens_in``: read from the provider's cache."""
    cache_written: int = 0
    """Of ``tokens_in``: written to the provider's cache."""
    reasoning: int = 0
    """Of ``tokens_out``: thought, not said."""
    estimated: bool = False
    """Whether the provider did not say, and lengths of texts were counted."""

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.tokens_in + self.tokens_out

    def footprints(self, provider: str, model: str) -> Iterator[Footprint]:
        """Give the measures of seed 6.3, told apart by provider and model."""
        dims: dict[str, Any] = {"provider": provider, "model": model}
        if self.estimated:
            dims["estimated"] = True
        given = {"cached": self.cached, "cache_written": self.cache_written}
        yield Footprint("tokens_in", self.tokens_in, "token", {**dims, **given})
        written = {"reasoning": self.reasoning}
        yield Footprint("tokens_out", self.tokens_out, "token", {**dims, **written})


def estimate(text: str) -> int:
    """Guess how many tokens a text is."""
    return -(-len(text.encode(errors="replace")) // _BYTES_A_TOKEN)


def responses_usage(raw: Mapping[str, Any]) -> Usage:
    """Read ``usage`` of OpenAI's Responses API."""
    given = _part(raw, "input_tokens_details")
    return Usage(
        tokens_in=_count(raw, "input_tokens"),
        tokens_out=_count(raw, "output_tokens"),
        cached=_count(given, "cached_tokens"),
        cache_written=_count(given, "cache_write_tokens"),
        reasoning=_count(_part(raw, "output_tokens_details"), "reasoning_tokens"),
    )


def chat_usage(raw: Mapping[str, Any]) -> Usage:
    """Read ``usage`` of OpenAI's Chat Completions API."""
    given = _part(raw, "prompt_tokens_details")
    return Usage(
        tokens_in=_count(raw, "prompt_tokens"),
        tokens_out=_count(raw, "completion_tokens"),
        cached=_count(given, "cached_tokens"),
        cache_written=_count(given, "cache_write_tokens"),
        reasoning=_count(_part(raw, "completion_tokens_details"), "reasoning_tokens"),
    )


def anthropic_usage(raw: Mapping[str, Any]) -> Usage:
    """Read ``usage`` of the Messages API."""
    cached = _count(raw, "cache_read_input_tokens")
    written = _count(raw, "cache_creation_input_tokens")
    return Usage(
        tokens_in=_count(raw, "input_tokens") + cached + written,
        tokens_out=_count(raw, "output_tokens"),
        cached=cached,
        cache_written=written,
        reasoning=_count(_part(raw, "output_tokens_details"), "thinking_tokens"),
    )


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(raw: Mapping[str, Any], name: str) -> int:
    found = raw.get(name)
    return max(found, 0) if isinstance(found, int) else 0
