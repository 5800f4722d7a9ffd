"""A node of the fleet: ``node.yaml``, and ``nodes/<id>.yaml`` for the others."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from xyn_reconciler.model.document import (
    DocumentId,
    EgressRule,
    Json,
    Maybe,
    NodeId,
    Part,
    SecretRef,
    Size,
    SomeTime,
)

Stage = Literal["dev", "test", "prod"]

MirrorUrl = Annotated[
    str,
    Field(
        # No name and no password with http: this file is in Git, and so in every mirror.
        pattern=r"^(https?://[^\s@{}]+|ssh://([\w.-]+@)?[^\s@:{}/]+(:[0-9]+)?/[^\s{}]+"
        r"|[\w.-]+@[\w.-]+:[^\s{}]+|(file://)?/[^\s{}]+)$",
        json_schema_extra={"examples": ["git@git.example.net:ops/state.git", "/srv/state.git"]},
    ),
]
"""The address of a Git repository, without credentials."""


class ProviderSettings(Part):
    """A model provider on this node."""

    noun: ClassVar[str] = "a provider"

    enabled: bool = False
    """Whether agent_tasks may use it here."""
    base_url: Maybe[Annotated[str, Field(pattern=r"^https?://[^\s{}]+$")]] = None
    """Where its API is, if not at the usual place."""
    key_ref: Maybe[SecretRef] = None
    """The secret that is its key; ``env/OPENAI_API_KEY``, ``env/ANTHROPIC_API_KEY`` by default."""


class Egress(Part):
    """What steps may reach beyond the public network."""

    noun: ClassVar[str] = "egress"

    allow: list[EgressRule] = Field(default_factory=list)
    """Addresses, CIDR ranges, names, ``*.names``, each with or without ``:port``."""


class Limits(Part):
    """Safety rails (seed 38); each key that is absent keeps its default."""

    noun: ClassVar[str] = "limits"

    max_steps: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Steps of one run. Stops runaway automation (seed 38.2)."""
    run_timeout: SomeTime = "60m"
    """Wall clock of one run, waiting for people not counted (seed 38.2)."""
    artifact_max: Size = "250MB"
    """One artifact (seed 38.1)."""
    artifact_quota: Size = "20GB"
    """All artifacts (seed 38.1)."""
    backlog: SomeTime = "7d"
    """How long handled events stay in the index (seed 38.1)."""
    backlog_runs: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Runs that wait for a worker; beyond it, those of a storm step back (seed 38.2)."""
    backlog_max: Size = "1GB"
    """Events that wait to be handled; beyond it, senders are told to come again (seed 38.1)."""


class Node(Part):
    """What one node is and may do."""

    noun: ClassVar[str] = "a node"

    id: NodeId
    """The node's name: in the refs of its records, and in ``nodes:`` of blueprints."""
    env_id: DocumentId = "local"
    """The environment, as events carry it."""
    mode: Literal["active", "shadow", "suspended"] = "active"
    """``shadow`` reconciles and shows, and starts nothing; ``suspended`` stands still."""
    stage: Stage = "dev"
    """What policies match on."""
    labels: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]] = Field(
        default_factory=list
    )
    """Names by which ``nodes: [label:x]`` of a blueprint means this node."""
    providers: dict[DocumentId, ProviderSettings] = Field(default_factory=dict)
    """Model providers by name; keys are never here."""
    egress: Maybe[Egress] = None
    auth: Maybe[Literal["open", "required"]] = None
    """``open``: no token makes one ``operator``; default on dev and test. ``required``: on prod."""
    limits: Maybe[Limits] = None
    vars: dict[DocumentId, Json] = Field(default_factory=dict)
    """Values that blueprints read as ``node.vars.<name>``: what differs from node to node."""
    follow: Literal["origin", "none"] = "origin"
    """Whether a clone fetches its origin's ``main``, or goes its own way."""
    mirror: list[MirrorUrl] = Field(default_factory=list)
    """Git servers to which ``main``, drafts and this node's records are pushed after each batch."""

    def auth_required(self) -> bool:
        """Whether unsafe requests need a principal."""
        return self.auth == "required" or (self.auth is None and self.stage == "prod")
