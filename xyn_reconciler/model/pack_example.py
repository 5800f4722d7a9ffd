"""An example of what an action of a pack does (``packs/<pack>/examples/*.yaml``).

What it is given, what the outside system answers, and what has to come of it:
``xynctl pack test`` runs it. The trap: secrets in it are made up; it stands in the repository.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from xyn_reconciler.model.document import ActionName, Json, Maybe, Part


class AskedFor(Part):
    """What a request has to be like; what is not named is not asked."""

    noun: ClassVar[str] = "a request"

    method: Maybe[str] = None
    """``GET`` where nothing is said."""
    path: Maybe[Annotated[str, Field(pattern=r"^/[^?#]*$")]] = None
    """The path of its URL."""
    url: Maybe[str] = None
    """Its URL without the query."""
    query: Maybe[dict[str, Json]] = None
    """All of its query: name -> text, or a list where a name is repeated."""
    headers: Maybe[dict[str, str]] = None
    """Some of its headers."""
    json_: Json = Field(default=None, alias="json")
    """Its body, as JSON."""
    form: Maybe[dict[str, Json]] = None
    """Its body, as a form."""
    body: Maybe[str] = None
    """Its body, as text."""
    with_: Maybe[dict[str, Json]] = Field(default=None, alias="with")
    """Of ``ssh`` and ``container``: some of what the tool is given."""


class Answer(Part):
    """What the outside system says."""

    noun: ClassVar[str] = "an answer"

    status: Annotated[int, Field(ge=200, le=599)] = 200
    headers: dict[str, str] = Field(default_factory=dict)
    json_: Json = Field(default=None, alias="json")
    body: Maybe[str] = None
    exit_status: Annotated[int, Field(ge=0, le=255)] = 0
    """Of ``ssh`` and ``container``, as are the following."""
    stdout: str = ""
    stderr: str = ""
    result: Json = None


class Exchange(Part):
    """A request that has to come, and its answer."""

    noun: ClassVar[str] = "an answer"

    request: AskedFor = Field(default_factory=lambda: AskedFor())  # noqa: PLW0108 - pydantic calls it
    response: Answer


class ExpectedError(Part):
    """How the action has to fail."""

    noun: ClassVar[str] = "an error"

    code: str
    message: Maybe[str] = None
    """What people read, in full."""
    temporary: Maybe[bool] = None


class ExpectedEnd(Part):
    """What has to come of it; where nothing is said: that it goes well."""

    noun: ClassVar[str] = "expect"

    outputs: Maybe[dict[str, Json]] = None
    """Those that are named have to be so."""
    error: Maybe[ExpectedError] = None


class PackExample(Part):
    """One example."""

    noun: ClassVar[str] = "an example"

    name: Maybe[str] = None
    """What it shows, as a sentence."""
    action: ActionName
    """The action."""
    with_: dict[str, Json] = Field(default_factory=dict, alias="with")
    """What it is given; plain values."""
    settings: dict[str, Json] = Field(default_factory=dict)
    """The pack's settings; defaults apply, and ``settings.yaml`` plays no part."""
    config: Maybe[dict[str, Json]] = None
    """What programs are told of ``config/``, by name, instead of what stands there."""
    secrets: dict[str, str] = Field(default_factory=dict)
    """Reference -> a value that is made up."""
    idempotency_key: Maybe[str] = None
    answers: list[Exchange] = Field(default_factory=list)
    """One for each request, in their order."""
    expect: ExpectedEnd = Field(default_factory=ExpectedEnd)
