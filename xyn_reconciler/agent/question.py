"""What a model is asked and what it answers, whichever provider it is of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from xyn_reconciler.agent.usage import Usage

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to a model."""

    model: str
    prompt: str
    output_schema: Mapping[str, Any] | None
    max_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: ``stopped`` says why it is not a whole answer, where it is none."""

    text: str
    raw: bytes
    """The provider's own message, as JSON."""
    usage: Usage
    stopped: str | None = None
    """``max_tokens``, ``refused``, a word of the provider's own; ``None`` for a whole answer."""


class Ask(Protocol):
    """A provider; raises ``TemporaryError`` or ``PermanentError``."""

    def __call__(
        self,
        question: Question,
        *,
        key: str,
        base_url: str,
        client: "httpx2.Client",
        timeout: float,
    ) -> Answer:
        """Send one request, once."""
        ...
