"""What an action is: its protocol, and what it is given of the node."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from xyn_reconciler.model.capability import ActionSpec, Footprint, KeepArtifact, OpenArtifact
from xyn_reconciler.model.errors import PermanentError


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContext:
    """One attempt of one step, as its action may know it."""

    run_id: uuid.UUID
    step_id: uuid.UUID
    attempt: int
    correlation_id: str
    deadline: float
    """When the attempt has to be over, on ``time.monotonic()``'s clock."""
    cancelled: Callable[[], bool]
    """Whether to stop now and raise; looked at several times a second while waiting."""
    log: Callable[[str], None]
    """Adds a line to the run's log; secrets are taken out there."""
    secret: Callable[[str], str | None]
    """Resolves a secret reference: ``env/NAME``, or a path such as ``team/noc/ssh``."""
    redact: Callable[[str], str] = lambda text: text
    """Takes secrets out; asked before a text is cut, for half a secret is not known any more."""
    live: Callable[[str], None] = lambda _: None
    """Shows text to whoever watches, while the attempt goes on; it is kept nowhere."""
    item: int | None = None
    """Which item of a ``foreach`` this is, from 0."""
    egress: tuple[str, ...] = ()
    """What ``egress.allow`` of ``node.yaml`` permits beyond the public network."""
    known_hosts: str = ""
    """The repository's own ``known_hosts``, as OpenSSH writes it; empty where it has none."""
    images: tuple[str, ...] = ()
    """What ``containers.allow`` of ``node.yaml`` lets containers be made of, by name."""
    idempotency_key: str | None = None
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``providers`` of ``node.yaml``."""
    models: Mapping[str, Any] = field(default_factory=dict)
    """``aliases``, ``override``, ``fallback`` and ``budgets`` of ``node.yaml``."""
    artifact: KeepArtifact | None = None
    """Keeps bytes that are too many for the outputs; without it they are dropped."""
    open_artifact: OpenArtifact | None = None
    """Opens artifacts that are there already, whoever made them."""
    artifact_max: int = 250_000_000
    """Bytes of one artifact (seed 38.1)."""
    footprint: Callable[[Footprint], None] = lambda _: None
    """Notes what the attempt used up, whether it goes well or not."""

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def credential(self, reference: str) -> str:
        """Resolve a secret that has to be there, without the line end of its file.

        Raises ``PermanentError`` with code ``secret_not_found`` or ``invalid_secret``.
        """
        value = self.secret(reference)
        if value is None:
            message = f"there is no secret {reference} on this node"
            raise PermanentError("secret_not_found", message)
        if any("\ud800" <= character <= "\udfff" for character in value):
            # As Python reads a variable of bytes that are none.
            raise PermanentError("invalid_secret", f"{reference} is no text in UTF-8")
        return value.rstrip("\r\n")


class Action(Protocol):
    """A tool; ``run`` raises ``TemporaryError`` or ``PermanentError``."""

    @property
    def spec(self) -> ActionSpec: ...

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Do it, and give outputs that fit ``spec.output_schema``.

        ``inputs`` fit ``spec.input_schema``. Over the deadline it raises
        ``TemporaryError`` with code ``timeout``, cancelled it raises
        ``PermanentError`` with code ``cancelled``; either way nothing of what
        it began goes on.
        """
        ...
