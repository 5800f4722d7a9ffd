"""What a model is asked and what it answers, whichever provider it is of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from xyn_reconciler.agent.usage import Usage
from xyn_reconciler.model.errors import StepError

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to a model."""

    model: str
    prompt: str
    system: str | None = None
    """What is above the prompt: how to read it."""
    output_schema: Mapping[str, Any] | None
    max_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, as far as it came."""

    text: str
    raw: bytes
    """The provider's own message, as JSON; empty where none began to come."""
    usage: Usage | None
    """``None`` where the provider did not say."""
    stopped: str | None = None
    """``max_tokens``, ``refused``, a word of the provider's own; ``None`` for a whole answer."""
    failure: StepError | None = None
    """Why there is no answer, or no more of it."""


class Ask(Protocol):
    """A provider. Never raises what the attempt has to tell of: that is the answer's failure."""

    def __call__(
        self,
        question: Question,
        *,
        key: str,
        base_url: str,
        client: "httpx2.Client",
        timeout: float,
        say: Callable[[str], None],
    ) -> Answer:
        """Send one request, once; ``say`` is given the text piece by piece as it comes."""
        ...
