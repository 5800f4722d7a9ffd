"""Who people, services and agents are: ``principals.yaml``. Names and addresses stay out of it."""

from typing import ClassVar, Literal

from pydantic import Field

from xyn_reconciler.model.document import DocumentId, Part

Role = Literal["User", "Operator", "OwnerAdmin"]
"""Seed 25.5."""


class PrincipalEntry(Part):
    """One who acts."""

    noun: ClassVar[str] = "a principal"

    id: DocumentId
    """What tokens, records and policies call it."""
    kind: Literal["person", "service", "agent"] = "person"
    """The kernel refuses that a service or an agent approves, promotes or changes policy."""
    roles: list[Role] = Field(default_factory=list)
    """``User``, ``Operator``, ``OwnerAdmin``."""
    teams: list[DocumentId] = Field(default_factory=list)
    """Names of teams, free to choose."""


class Principals(Part):
    """All who may act on nodes of this repository."""

    noun: ClassVar[str] = "principals.yaml"

    principals: list[PrincipalEntry] = Field(default_factory=list)
    """Everybody."""
