"""What is asked of policies: who wants to do what, where (seed 31.5)."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import Risk
from xyn_reconciler.model.principal import Principal

Evidence = Literal["tests_passed", "backtest"]
"""``tests_passed``: all tests of the very thing asked about; ``backtest``: there is one of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One privileged thing that somebody wants to do."""

    actor: Principal
    action: str
    """``blueprint.promote``, ``policy.change``, ``run.start``."""
    stage: Stage
    env_id: str
    now: dt.datetime
    resource_type: str | None = None
    resource_id: str | None = None
    risk: Risk | None = None
    """As computed for a change; None where no change is asked about."""
    artifacts: frozenset[Evidence] = frozenset()
    authors: frozenset[str] = frozenset()
    """Ids of those whose work it is; of a draft everybody who pushed an iteration."""

    @property
    def selves(self) -> frozenset[str]:
        """Those whose approval would be one's own: the authors, else the actor."""
        return self.authors or frozenset({self.actor.id})

    def to_json(self) -> dict[str, Any]:
        """Everything that the decision rests on, in one order: for the digest of its inputs."""
        return {
            "actor": {
                "id": self.actor.id,
                "kind": self.actor.kind,
                "subjects": sorted(self.actor.subjects()),
            },
            "action": self.action,
            "stage": self.stage,
            "env_id": self.env_id,
            "resource": {"type": self.resource_type, "id": self.resource_id},
            "risk": self.risk,
            "artifacts": sorted(self.artifacts),
            "authors": sorted(self.authors),
            "now": isoformat(self.now),
        }
