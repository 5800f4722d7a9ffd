"""A node of the fleet: ``node.yaml``, and ``nodes/<id>.yaml`` for the others."""

import re
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

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

Tokens = Annotated[int, Field(ge=1, le=10**12)]

ModelPattern = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*/\S+)$")]
"""``openai/gpt-5``, ``openai/*``, or ``*`` for every model."""


KNOWN_PROVIDERS: Final = ("openai", "anthropic")
"""Those whose address and kind go without saying."""


_API_URL: Final = (
    r"^https?://([A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9_./~%:@+-]*)?$"
)


def _api_url(text: str) -> str:
    try:
        fits = re.fullmatch(_API_URL, text) is not None and urlsplit(text).port != 0
    except ValueError:  # an address or a port that there cannot be
        fits = False
    if not fits:
        # Not repeated: it may hold a password.
        raise PydanticCustomError(
            "bad_value",
            "an address is https://host:port/path in ASCII, without a user, a query or a fragment",
        )
    return text


ApiUrl = Annotated[
    str,
    AfterValidator(_api_url),
    Field(
        json_schema_extra={"pattern": _API_URL, "examples": ["http://127.0.0.1:11434/v1"]},
    ),
]
"""The address of an API: the same to all who read it, and no secret in it."""


class ProviderSettings(Part):
    """A model provider on this node."""

    noun: ClassVar[str] = "a provider"

    enabled: bool = False
    """Whether agent_tasks may use it here."""
    kind: Maybe[Literal["openai", "anthropic"]] = None
    """Whose API it speaks; needed where the name is neither ``openai`` nor ``anthropic``."""
    api: Maybe[Literal["responses", "chat"]] = None
    """Which of OpenAI's two; ``responses`` for ``openai`` itself, ``chat`` for other servers."""
    base_url: Maybe[ApiUrl] = None
    """Where its API is, if not at the usual place."""
    key_ref: Maybe[SecretRef] = None
    """The secret that is its key; ``env/OPENAI_API_KEY``, ``env/ANTHROPIC_API_KEY`` by default."""


Recipient = Annotated[
    str,
    Field(
        pattern=r"^age1[02-9ac-hj-np-z]{58}$",
        json_schema_extra={"examples": ["age1" + "q" * 58]},
    ),
]
"""To whom secrets are encrypted: the public half of an age key."""


class ModelTarget(Part):
    """A model of a provider."""

    noun: ClassVar[str] = "a model"

    provider: DocumentId
    """A name under ``providers``."""
    model: Annotated[str, Field(min_length=1)]
    """The provider's name of the model."""


class TokenBudgets(Part):
    """Tokens that agent_tasks may use here, in and out; what is absent has no limit."""

    noun: ClassVar[str] = "budgets"

    step: Maybe[Tokens] = None
    """All attempts of one step."""
    run: Maybe[Tokens] = None
    """All steps of one run."""
    day: Maybe[Tokens] = None
    """All runs of this node, from midnight to midnight in UTC."""


class Egress(Part):
    """What steps may reach beyond the public network."""

    noun: ClassVar[str] = "egress"

    allow: list[EgressRule] = Field(default_factory=list)
    """Addresses, CIDR ranges, names, ``*.names``, each with or without ``:port``."""


ImageName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*"
        r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$",
        json_schema_extra={"examples": ["registry.example.net/tools/jq:1.7"]},
    ),
]


class Containers(Part):
    """What ``container.exec`` may run here beyond images that are named by their digest."""

    noun: ClassVar[str] = "containers"

    allow: list[ImageName] = Field(default_factory=list)
    """Names of images, exactly as steps write them; what ran is noted by its digest."""


class Apps(Part):
    """Whether packs may run their systems here."""

    noun: ClassVar[str] = "apps"

    enabled: bool = False
    """Managed packs are brought up beside this node by the engine that ``DOCKER_HOST`` names, or
    the machine's own, and kept as their ``compose.yaml`` says."""


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


class Bucket(Part):
    """A bucket of S3, or of what speaks as it does."""

    noun: ClassVar[str] = "an S3 bucket"

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """Its name; it exists already."""
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]*$")] = ""
    """Below it each node has a folder of its own, of its id."""
    region: Maybe[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]] = None
    """``us-east-1`` by default."""
    endpoint: Maybe[Annotated[str, Field(pattern=r"^https?://[^\s@{}]+$")]] = None
    """Where it answers, if it is not Amazon's."""
    key_ref: Maybe[SecretRef] = None
    """The access key id; without it, what the machine itself has (environment, instance role)."""
    secret_ref: Maybe[SecretRef] = None
    """The secret access key."""


class ArtifactSettings(Part):
    """Where the bytes of artifacts are."""

    noun: ClassVar[str] = "artifacts"

    s3: Maybe[Bucket] = None
    """Not in the home's folder but there. Needs the extra ``s3``; read when a process starts."""


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
    aliases: dict[DocumentId, ModelTarget] = Field(default_factory=dict)
    """What ``model: fast`` of a step without a ``provider`` means here."""
    override: dict[ModelPattern, ModelTarget] = Field(default_factory=dict)
    """What is asked here instead: ``openai/gpt-5``, ``openai/*`` or ``*`` -> a model."""
    fallback: list[ModelTarget] = Field(default_factory=list)
    """Whom the next attempts ask, in order, where one failed for reasons of the moment."""
    budgets: Maybe[TokenBudgets] = None
    egress: Maybe[Egress] = None
    containers: Maybe[Containers] = None
    apps: Maybe[Apps] = None
    auth: Maybe[Literal["open", "required"]] = None
    """``open``: no token makes one ``operator``; default on dev and test. ``required``: on prod."""
    limits: Maybe[Limits] = None
    artifacts: Maybe[ArtifactSettings] = None
    retention: dict[DocumentId, Literal["keep"] | SomeTime] = Field(default_factory=dict)
    """How long the bytes of artifacts stay, by class: what ``metadata.retention`` of an artifact
    says, else its kind; ``default`` is for all others. Without a word they are kept."""
    vars: dict[DocumentId, Json] = Field(default_factory=dict)
    """Values that blueprints read as ``node.vars.<name>``: what differs from node to node."""
    follow: Literal["origin", "none"] = "origin"
    """Whether a clone fetches its origin's ``main``, or goes its own way."""
    recipient: Maybe[Recipient] = None
    """The public half of the home's ``age.key``: ``xynctl secret`` encrypts to it."""
    break_glass_recipients: list[Recipient] = Field(default_factory=list)
    """Keys of people that open every secret when no node is left; their private halves are kept
    where no node is. Those of ``node.yaml`` count."""
    mirror: list[MirrorUrl] = Field(default_factory=list)
    """Git servers to which ``main``, drafts and this node's records are pushed after each batch."""

    def auth_required(self) -> bool:
        """Whether unsafe requests need a principal."""
        return self.auth == "required" or (self.auth is None and self.stage == "prod")
