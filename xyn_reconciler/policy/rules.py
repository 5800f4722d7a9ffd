"""Who there is, and which rules hold, at one applied revision: read once, asked often. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import GovernancePolicy
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.model.principals import Principals
from xyn_reconciler.policy.change import Asked, ask
from xyn_reconciler.policy.evaluate import PolicyInForce
from xyn_reconciler.policy.request import Request

OWNER: Final = Principal(OPERATOR.id)
"""The owner of the home where a token is asked of everybody: proved, and without a role."""

ANONYMOUS: Final = Principal("anonymous")
"""Who says nothing where a token is asked; reads at most."""

RESERVED: Final = frozenset({OPERATOR.id, ANONYMOUS.id, "system"})
"""Ids that ``principals.yaml`` cannot give to anybody: no token stands for them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Policies and principals of one revision on one node."""

    policies: tuple[PolicyInForce, ...] = ()
    principals: Mapping[str, Principal] = field(default_factory=dict)
    stage: Stage = "dev"
    env_id: str = "local"
    auth_required: bool = False

    @classmethod
    def of(
        cls,
        documents: Iterable[tuple[str, str, Mapping[str, Any], str]],
        settings: Mapping[str, Any],
    ) -> "Rules":
        """Read them from (path, kind, document, commit) of kinds ``policy`` and ``principals``.

        The commit is the one that last changed the file: the version of a policy.
        """
        listed = list(documents)
        return cls(
            policies=tuple(
                PolicyInForce(GovernancePolicy.model_validate(document), version, path)
                for path, kind, document, version in listed
                if kind == "policy"
                and document["policy_type"] == "governance"
                and document["status"] == "active"
            ),
            principals={
                entry.id: Principal(
                    entry.id, entry.kind, frozenset(entry.roles), frozenset(entry.teams)
                )
                for _, kind, document, _ in listed
                if kind == "principals"
                for entry in Principals.model_validate(document).principals
                if entry.id not in RESERVED
            },
            stage=settings.get("stage", "dev"),
            env_id=settings.get("env_id", "local"),
            auth_required=settings.get("auth") == "required",
        )

    def principal(self, actor: str) -> Principal:
        """Give whom an actor's id means; a source, the system and whoever is gone is a service."""
        if actor == OPERATOR.id:
            return OWNER if self.auth_required else OPERATOR
        return self.principals.get(actor) or Principal(actor, "service")

    def ask(self, actor: Principal, action: str, now: dt.datetime, **about: Any) -> Asked:  # noqa: ANN401 - the fields of a Request
        """Ask one thing, approved by nobody."""
        request = Request(
            actor=actor, action=action, stage=self.stage, env_id=self.env_id, now=now, **about
        )
        return ask([request], self.policies)[0]
