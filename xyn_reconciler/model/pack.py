"""A pack: the actions and event types that an outside system brings (seed 9A, 36, 37).

``packs/<id>/pack.yaml`` is a :class:`Pack`. An action of it is declared as the input of
one of Xyn's own (``request``, ``ssh``, ``container``: an adapter, no code), or as a program
of the pack (``run``); without any of them it is a name that blueprints may use and no node
can run. The trap: what ``settings`` allows is a schema here, and the values stand in another
file, ``settings.yaml``, whose document is any mapping.
"""

import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, RootModel, model_validator
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.document import (
    ActionName,
    EventPattern,
    Id,
    Json,
    Maybe,
    Part,
    SecretRef,
    Size,
    SomeTime,
)
from xyn_reconciler.model.json_schema import JsonSchema

BODIES: Final = {"request": "http.call", "ssh": "ssh.run", "container": "container.exec"}
"""What an adapter is declared under -> the action that it is the input of."""

CODE: Final = "run"
"""What an action with a program of its own is declared under."""

PACK_ID: Final = r"[a-z][a-z0-9_-]{0,63}"

Text = Annotated[str, Field(min_length=1)]
FilePath = Annotated[str, Field(pattern=r"^[^/\s.{}][^\s{}\\]*$")]

# ── versions ─────────────────────────────────────────────────────────────────────────────────────

_NUMBER = r"(0|[1-9][0-9]{0,8})"
VERSION: Final = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_BOUND: Final = re.compile(r"(>=|<=|==|<|>|~=) ?([0-9]{1,9}(?:\.[0-9]{1,9}){0,2})", re.ASCII)


def fits_core(bounds: str, version: str) -> bool:
    """Whether a version of Xyn, ``0.1.0``, lies within ``>=0.1, <1``; True where unreadable."""
    running = _numbers(version)
    return all(_holds(running, found[1], found[2]) for found in _BOUND.finditer(bounds))


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,2}", version, re.ASCII)
    given = tuple(map(int, found[0].split("."))) if found else ()
    return (*given, 0, 0, 0)[:3]


def _holds(running: tuple[int, ...], sign: str, bound: str) -> bool:
    least = _numbers(bound)
    match sign:
        case ">=":
            return running >= least
        case "<=":
            return running <= least
        case "<":
            return running < least
        case ">":
            return running > least
        case "==":
            return running == least
    # ~=0.1 and ~=0.1.2: the last number that is written may rise.
    kept = max(bound.count("."), 1)
    return running >= least and running[:kept] == least[:kept]


def _core_range(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    if not all(_BOUND.fullmatch(part) for part in parts):
        raise PydanticCustomError(
            "bad_value", "a range of versions is written >=0.1, or >=0.1, <1 with a comma"
        )
    return text


# ── actions ──────────────────────────────────────────────────────────────────────────────────────


class Paginate(Part):
    """How the following pages of an answer are asked for."""

    noun: ClassVar[str] = "paginate"

    next: Maybe[Text] = None
    """The URL of the next page, from ``response``; empty at the end."""
    next_query: Maybe[Annotated[dict[str, Json], Field(min_length=1)]] = None
    """What the query of the next page has besides; at the end all of it is empty."""
    items: Text
    """The list that a page brings: ``{{ response.json.items }}``."""
    most: Annotated[int, Field(ge=1, le=1000)] = 50
    """Pages asked for at most; one more is the failure ``too_many_pages``."""

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if self.next is None and self.next_query is None:
            raise PydanticCustomError("missing_key", "paginate needs next or next_query")
        if self.next is not None and self.next_query is not None:
            raise PydanticCustomError(
                "conflicting_keys", "next and next_query say the same: keep one"
            )
        return self


class ErrorRule(Part):
    """What an answer means that the tool took for a failure, or for none."""

    noun: ClassVar[str] = "an error rule"

    status: Maybe[Annotated[list[Annotated[int, Field(ge=100, le=599)]], Field(min_length=1)]] = (
        None
    )
    """HTTP status codes that it is about."""
    exit_code: Maybe[Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1)]] = (
        None
    )
    """Exit codes that it is about, of ``ssh`` and ``container``."""
    when: Maybe[Text] = None
    """An expression that has to hold: ``response.json.error is defined``."""
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    """What the step fails with."""
    message: Maybe[Text] = None
    """What people read; the tool's own message where there is none."""
    temporary: bool = False
    """Whether a later try may succeed."""

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.status is None and self.exit_code is None and self.when is None:
            raise PydanticCustomError(
                "missing_key", "an error rule needs status, exit_code or when"
            )
        return self


_PROGRAM: Final = r"actions/[^\s{}\\]+"


def _program(text: str) -> str:
    if re.fullmatch(_PROGRAM, text) is None:
        raise PydanticCustomError(
            "bad_value", "a program stands in the pack's actions/: actions/NAME.py"
        )
    return text


class Code(Part):
    """A program of the pack that is the action."""

    noun: ClassVar[str] = "run"

    file: Annotated[
        str,
        AfterValidator(_program),
        Field(json_schema_extra={"pattern": f"^{_PROGRAM}$"}),
    ]
    """The program, in the pack's ``actions/``: it reads JSON and writes JSON."""
    in_: Literal["process", "container"] = Field(default="process", alias="in")
    """Where it runs: a confined process of the worker, or a container."""
    image: Maybe[Text] = None
    """The image, as ``container.exec`` takes it; for ``in: container``."""
    network: Maybe[Text] = None
    """The container's network, as ``container.exec`` takes it; none by default."""
    secrets: list[Text] = Field(default_factory=list)
    """References of the secrets that it is given; it gets no others."""
    ask: dict[Id, dict[str, Json]] = Field(default_factory=dict)
    """Whom it may ask, by a name: what ``http.call`` is given besides what the program says."""
    memory: Size = "256MB"
    """What it may use."""
    timeout: SomeTime = "5m"
    """How long one attempt may take; a step's own ``timeout`` may be shorter."""

    @model_validator(mode="after")
    def _has_an_image(self) -> Self:
        if self.in_ == "container" and self.image is None:
            raise PydanticCustomError("missing_key", "in: container needs an image")
        if self.in_ == "process" and (self.image is not None or self.network is not None):
            raise PydanticCustomError(
                "conflicting_keys", "image and network belong to in: container"
            )
        return self


class PackAction(Part):
    """An action that blueprints may name once the pack is in the repository."""

    noun: ClassVar[str] = "an action"

    summary: Annotated[str, Field(min_length=1)]
    """What it does, in one line."""
    description: Maybe[Text] = None
    """What people have to know besides."""
    input_schema: Maybe[JsonSchema] = None
    """What ``with`` takes; absent: anything."""
    output_schema: Maybe[JsonSchema] = None
    """What it gives; an answer that does not fit is a failure."""
    idempotent: bool = False
    """Whether a step that was under way in a crash may simply run again."""
    request: Maybe[dict[str, Json]] = None
    """An adapter: the ``with`` of ``http.call``."""
    ssh: Maybe[dict[str, Json]] = None
    """An adapter: the ``with`` of ``ssh.run``."""
    container: Maybe[dict[str, Json]] = None
    """An adapter: the ``with`` of ``container.exec``."""
    run: Maybe[Code] = None
    """A program of the pack."""
    paginate: Maybe[Paginate] = None
    """How the following pages are asked for; for ``request``."""
    outputs: Maybe[dict[Id, Json]] = None
    """What the step gives, from ``response`` (and ``items``); absent: the answer as it is."""
    errors: list[ErrorRule] = Field(default_factory=list)
    """The first that fits is what the step fails with."""
    redact: list[Annotated[str, Field(pattern=r"^[^\s{}]+$")]] = Field(default_factory=list)
    """Dotted paths in its outputs that are never kept."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [name for name in (*BODIES, CODE) if getattr(self, name) is not None]
        if len(given) > 1:
            raise PydanticCustomError(
                "conflicting_keys",
                "an action is one of request, ssh, container and run: keep {first} or {second}",
                {"first": given[0], "second": given[1]},
            )
        if self.paginate is not None and self.request is None:
            raise PydanticCustomError("conflicting_keys", "only a request has pages")
        if self.run is not None and (self.outputs is not None or self.errors):
            raise PydanticCustomError(
                "conflicting_keys", "a program says its outputs and errors itself"
            )
        return self


# ── the pack ─────────────────────────────────────────────────────────────────────────────────────


class PackRequires(Part):
    """What the node must have for the pack to work."""

    noun: ClassVar[str] = "requires"

    secrets: list[SecretRef] = Field(default_factory=list)
    """References of secrets."""
    variables: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=list
    )
    """Environment variables."""


class Contract(Part):
    """A data contract: a table of the pack that blueprints keep in step with the system."""

    noun: ClassVar[str] = "a data contract"

    schema_: FilePath = Field(alias="schema")
    """The file with the JSON Schema of a row: ``schemas/hosts.json``."""
    key: Annotated[list[Id], Field(min_length=1, max_length=8)]
    """The members that tell rows apart."""
    description: Maybe[Text] = None
    """What a row stands for."""


class Backup(Part):
    """What has to be kept of a system that Xyn runs, and how (seed 21.5)."""

    noun: ClassVar[str] = "backup"

    volumes: list[Text] = Field(default_factory=list)
    """Volumes of ``compose.yaml``."""
    dump: Maybe[ActionName] = None
    """The action that writes an export."""
    restore: Maybe[ActionName] = None
    """The action that reads it back."""


class Smoke(Part):
    """One harmless call that shows whether the settings are right."""

    noun: ClassVar[str] = "smoke"

    action: ActionName
    """An action of this pack."""
    with_: dict[str, Json] = Field(default_factory=dict, alias="with")
    """What it is given; plain values."""


class PackSettings(RootModel[dict[str, Json]]):
    """``settings.yaml``: what the pack's own ``settings`` schema says."""


class Pack(Part):
    """What the pack is and what it brings."""

    noun: ClassVar[str] = "a pack"

    id: Annotated[str, Field(pattern=f"^{PACK_ID}$")]
    """The folder's name, and the first part of its actions' names."""
    name: Maybe[str] = None
    """What people read instead of the id."""
    description: Maybe[str] = None
    """What it is for."""
    version: Annotated[str, Field(pattern=f"^{VERSION}$")]
    """Semantic version (seed 37.1)."""
    xyn_core: Maybe[
        Annotated[
            str,
            AfterValidator(_core_range),
            Field(json_schema_extra={"examples": [">=0.1", ">=0.1, <1"]}),
        ]
    ] = None
    """The versions of Xyn that it works with: ``>=0.1``."""
    attachment: Maybe[Literal["managed", "external", "hybrid"]] = None
    """Whether Xyn runs the outside system, connects to it, or either (seed 9A.2)."""
    requires: Maybe[PackRequires] = None
    """What the node must have."""
    settings: Maybe[JsonSchema] = None
    """The schema of ``settings.yaml``: an object, with defaults."""
    actions: dict[ActionName, PackAction] = Field(default_factory=dict)
    """Name, beginning with the pack's id -> action."""
    events: list[EventPattern] = Field(default_factory=list)
    """The event types that its sources emit."""
    contracts: dict[Id, Contract] = Field(default_factory=dict)
    """Table, in the pack's own schema of the database -> what stands in it."""
    backup: Maybe[Backup] = None
    """What has to be kept of the system."""
    smoke: Maybe[Smoke] = None
    """How to try the settings."""
