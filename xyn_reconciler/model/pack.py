"""A pack: the actions and event types that an outside system brings (seed 9A, 37)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from xyn_reconciler.model.document import ActionName, EventPattern, Maybe, Part, SecretRef
from xyn_reconciler.model.json_schema import JsonSchema


class PackAction(Part):
    """An action that blueprints may name once the pack is in the repository."""

    noun: ClassVar[str] = "an action"

    summary: Annotated[str, Field(min_length=1)]
    """What it does, in one line."""
    input_schema: Maybe[JsonSchema] = None
    """What ``with`` takes; absent: anything."""
    output_schema: Maybe[JsonSchema] = None
    idempotent: bool = False
    """Whether a step that was under way in a crash may simply run again."""


class PackRequires(Part):
    """What the node must have for the pack to work."""

    noun: ClassVar[str] = "requires"

    secrets: list[SecretRef] = Field(default_factory=list)
    """References of secrets."""
    variables: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=list
    )
    """Environment variables."""


class Pack(Part):
    """What the pack is and what it brings."""

    noun: ClassVar[str] = "a pack"

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    """The folder's name, and the first part of its actions' names."""
    name: Maybe[str] = None
    """What people read instead of the id."""
    description: Maybe[str] = None
    """What it is for."""
    version: Annotated[
        str,
        Field(pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$"),
    ]
    """Semantic version (seed 37.1)."""
    xyn_core: Maybe[Annotated[str, Field(pattern=r"^(>=|<=|==|<|>|~=) ?[0-9][^\s]*(, ?.+)?$")]] = (
        None
    )
    """The versions of Xyn that it works with: ``>=0.1``."""
    attachment: Maybe[Literal["managed", "external", "hybrid"]] = None
    """Whether Xyn runs the outside system, connects to it, or either (seed 9A.2)."""
    actions: dict[ActionName, PackAction] = Field(default_factory=dict)
    """Name, beginning with the pack's id -> action."""
    events: list[EventPattern] = Field(default_factory=list)
    """The event types that its sources emit."""
    requires: Maybe[PackRequires] = None
