"""A webhook source: how a delivery to ``POST /hooks/<id>`` is verified and becomes events."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.blueprint import ListOrTemplate
from xyn_reconciler.model.document import SECRET_REF, Json, Maybe, Part, SomeTime

SCHEMES: Final = (
    "github",
    "gitlab",
    "standard",
    "stripe",
    "pagerduty",
    "hmac",
    "bearer",
    "none",
)

RESERVED_SOURCES: Final = frozenset({"api", "cloudevents", "run", "schedule", "xyn"})
"""Names that events carry as their source without a document behind it."""

_Reference = Annotated[
    str, Field(json_schema_extra={"pattern": rf"^(?:{SECRET_REF})$|\{{\{{.*settings\..*\}}\}}"})
]
_SecretRefs = Annotated[list[_Reference], Field(min_length=1)]
"""References of secrets; in a pack, templates of them over its ``settings`` as well."""


class Unverified(Part):
    """No signature: deliveries from this machine alone."""

    noun: ClassVar[str] = "verify"

    scheme: Literal["none"]
    """``none``: from this machine alone."""


class Verified(Part):
    """A signature or token that the scheme defines."""

    noun: ClassVar[str] = "verify"

    scheme: Literal["github", "gitlab", "bearer"]
    """github: X-Hub-Signature-256; gitlab: X-Gitlab-Token; bearer: Authorization."""
    secret_refs: _SecretRefs
    """Where the secrets are kept; several while one is being replaced."""


class VerifiedInTime(Part):
    """A signature that carries its time."""

    noun: ClassVar[str] = "verify"

    scheme: Literal["standard", "stripe", "pagerduty"]
    """standard: Standard Webhooks; stripe: Stripe-Signature; pagerduty: X-PagerDuty-Signature."""
    secret_refs: _SecretRefs
    """Where the secrets are kept; several while one is being replaced."""
    tolerance: SomeTime = "5m"
    """How old a delivery may be."""


class Hmac(Part):
    """A HMAC of the raw body in a header of your choice."""

    noun: ClassVar[str] = "verify"

    scheme: Literal["hmac"]
    """``hmac``."""
    secret_refs: _SecretRefs
    """Where the secrets are kept; several while one is being replaced."""
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
    """The header that holds the signature."""
    algorithm: Literal["sha256", "sha512"] = "sha256"
    """The hash."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the signature is written."""
    prefix: str = ""
    """What stands before the signature: ``sha256=``."""


def scheme_kind(verify: Any) -> str | None:  # noqa: ANN401 - whatever the document holds
    """Which model a scheme belongs to; None where it says nothing known."""
    scheme = verify.get("scheme") if isinstance(verify, dict) else getattr(verify, "scheme", None)
    match scheme:
        case "none" | "hmac":
            return f"kind:{scheme}"
        case "github" | "gitlab" | "bearer":
            return "kind:verified"
        case "standard" | "stripe" | "pagerduty":
            return "kind:in_time"
    return None


Verify = Annotated[
    Annotated[Unverified, Tag("kind:none")]
    | Annotated[Verified, Tag("kind:verified")]
    | Annotated[VerifiedInTime, Tag("kind:in_time")]
    | Annotated[Hmac, Tag("kind:hmac")],
    Discriminator(scheme_kind),
]


class Resource(Part):
    """What the event is about."""

    noun: ClassVar[str] = "a resource"

    type: Annotated[str, Field(min_length=1)]
    """Template of its kind: ``repository``."""
    id: Annotated[str, Field(min_length=1)]
    """Template of its name."""


def _source_id(text: str) -> str:
    if text in RESERVED_SOURCES:
        raise PydanticCustomError("bad_id", "Xyn itself uses this name as a source: take another")
    return text


class Source(Part):
    """One address under ``/hooks/``."""

    noun: ClassVar[str] = "a source"

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"), AfterValidator(_source_id)]
    """The last part of the address, ``/hooks/<id>``, and the events' source."""
    verify: Verify
    """How a delivery shows that it is genuine."""
    delivery_id: Maybe[str] = None
    """Template of the sender's id of a delivery: the same id twice is one event."""
    foreach: Maybe[ListOrTemplate] = None
    """Template of a list of which each ``item`` is an event; absent: the body is the one item."""
    event_type: Annotated[str, Field(min_length=1)]
    """Template of the event's name."""
    resource: Maybe[Resource] = None
    data: Json = "{{ item }}"
    """Template of the event's data, an object."""
    payload: Literal["keep", "digest"] = "keep"
    """Whether the body is kept as it came, or its sha256 alone."""
    redact: list[Annotated[str, Field(pattern=r"^data(\.[^.\s]+)+$")]] = Field(default_factory=list)
    """Paths in the event (``data.sender.email``) that are replaced before anything is stored."""
