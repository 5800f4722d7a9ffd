"""Who acts."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, service or agent of ``principals.yaml``.

    Names and addresses stay out of the repository.
    """

    id: str
    kind: Literal["person", "service", "agent"] = "person"
    roles: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()

    def subjects(self) -> frozenset[str]:
        """All names under which a policy or a gate may mean this principal (seed 31.3.3)."""
        return frozenset(
            {f"principal:{self.id}"}
            | {f"role:{role}" for role in self.roles}
            | {f"team:{team}" for team in self.teams}
        )


OPERATOR: Final = Principal("operator", roles=frozenset({"Operator"}))
"""Whoever uses a node with ``auth: open`` without a token; pages and records say so."""
