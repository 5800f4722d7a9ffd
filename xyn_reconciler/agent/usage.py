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

_MOST: Final = 10**12
"""Tokens of one request that are believed; sums of them fit wherever they are kept."""


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

    def __post_init__(self) -> None:
        """Let no part be more than what it is a part of."""
        cached = min(self.cached, self.tokens_in)
        object.__setattr__(self, "cached", cached)
        object.__setattr__(self, "cache_written", min(self.cache_written, self.tokens_in - cached))
        object.__setattr__(self, "reasoning", min(self.reasoning, self.tokens_out))

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
    return _of_openai(raw, "input_tokens", "output_tokens")


def chat_usage(raw: Mapping[str, Any]) -> Usage:
    """Read ``usage`` of OpenAI's Chat Completions API."""
    return _of_openai(raw, "prompt_tokens", "completion_tokens")


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


def _of_openai(raw: Mapping[str, Any], given: str, written: str) -> Usage:
    tokens_in, tokens_out = _count(raw, given), _count(raw, written)
    parts, thought = _part(raw, f"{given}_details"), _part(raw, f"{written}_details")
    return Usage(
        tokens_in=tokens_in,
        # Servers that leave thinking out of what was written have it in their total.
        tokens_out=max(tokens_out, _count(raw, "total_tokens") - tokens_in),
        cached=_count(parts, "cached_tokens"),
        cache_written=_count(parts, "cache_write_tokens"),
        reasoning=_count(thought, "reasoning_tokens"),
    )


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(raw: Mapping[str, Any], name: str) -> int:
    """Give a number of tokens that a stranger says: none below 0, none beyond all reason."""
    found = raw.get(name)
    return min(max(found, 0), _MOST) if type(found) is int else 0
