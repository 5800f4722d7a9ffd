"""What the models of all YAML documents share: strictness, names, and small typed texts.

A document's model states its shape alone. What has to be read across the
document (expressions, cycles, references) is the task of ``desired``.

The traps: models are strict, so ``"4"`` is no number; a key that is written
with nothing behind it is a problem and not an absent key; and the type of a
custom error *is* the stable code of the problem that is shown.
"""

import datetime as dt
import ipaddress
import re
import uuid
import zoneinfo
from typing import Annotated, Any, ClassVar, Final, LiteralString, TypeVar

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.event import RESERVED_PREFIX
from xyn_reconciler.model.units import parse_duration, parse_size


class Part(BaseModel):
    """A mapping in a document: no unknown keys, no change of type, never changed afterwards."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    noun: ClassVar[str] = "this mapping"
    """What a message calls it: ``a gate`` in "a gate needs a mode"."""


T = TypeVar("T")


def _written(value: object) -> object:
    if value is None:
        raise PydanticCustomError("wrong_type", "this key has no value: give it one or remove it")
    return value


Maybe = Annotated[T | None, BeforeValidator(_written)]
"""A key that may be absent. Written with nothing behind it, it is a slip of indentation."""


def _name(code: LiteralString, pattern: str, words: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            # The words stand in the context: braces in a message would be taken for fields.
            raise PydanticCustomError(code, "{words}", {"words": words})
        return text

    return AfterValidator(check)


ID: Final = r"[a-z][a-z0-9_]*"
DOCUMENT_ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
NODE_ID: Final = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
ACTION: Final = r"[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)+"
SUBJECT: Final = r"(?:role|team|principal):[A-Za-z0-9][A-Za-z0-9._-]*"
EVENT_NAME: Final = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
MAX_EVENT_NAME: Final = 200
SECRET_REF: Final = (
    r"env/[A-Za-z_][A-Za-z0-9_]*"  # noqa: S105 - where a secret is, not what it is
    r"|(?!env/)[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.@-]*)+"
)

Id = Annotated[
    str,
    _name("bad_id", ID, "an id begins with a small letter and has only a-z, 0-9 and _"),
    Field(json_schema_extra={"pattern": f"^{ID}$"}),
]
"""The id of an input, a variable or a step."""

DocumentId = Annotated[
    str,
    _name("bad_id", DOCUMENT_ID, "an id has letters, digits, '.', '_' and '-', at most 128"),
    Field(json_schema_extra={"pattern": f"^{DOCUMENT_ID}$"}),
]
"""The id of a whole document, stable and unique in the repository."""

NodeId = Annotated[
    str,
    _name(
        "bad_id", NODE_ID, "a node's id has a-z, 0-9, '_' and '-', at most 63: it names git refs"
    ),
    Field(json_schema_extra={"pattern": f"^{NODE_ID}$"}),
]

ActionName = Annotated[
    str,
    _name("bad_id", ACTION, "an action's name has parts with a dot between: http.call"),
    Field(json_schema_extra={"pattern": f"^{ACTION}$"}),
]

Subject = Annotated[
    str,
    _name("bad_value", SUBJECT, "a subject is role:NAME, team:NAME or principal:ID"),
    Field(json_schema_extra={"pattern": f"^{SUBJECT}$"}),
]
"""Who is meant (seed 31.3.3)."""

SecretRef = Annotated[
    str,
    _name(
        "bad_secret_ref",
        SECRET_REF,
        "a secret reference is env/NAME or a path such as team/noc/ssh",
    ),
    Field(json_schema_extra={"pattern": f"^(?:{SECRET_REF})$"}),
]
"""Where a secret is kept; never the secret."""


def _event_pattern(text: str) -> str:
    if len(text) > MAX_EVENT_NAME or re.fullmatch(EVENT_NAME, text.removesuffix(".*")) is None:
        raise PydanticCustomError(
            "bad_value",
            "an event type has small letters, digits, _ and -, with dots between its segments,"
            " and may have * as the last: xyn.run.*",
        )
    return text


EventPattern = Annotated[
    str,
    AfterValidator(_event_pattern),
    Field(json_schema_extra={"pattern": rf"^{EVENT_NAME}(?:\.\*)?$"}),
]
"""The name of an event, exact or with ``*`` as its last segment: ``xyn.run.*``."""


def reserved(event_name: str) -> bool:
    """Whether only the platform itself may emit an event of that name (seed 29.4)."""
    return event_name.startswith(RESERVED_PREFIX)


def _duration(value: object) -> str:
    try:
        parse_duration(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("bad_duration", "{words}", {"words": str(error)}) from error
    return str(value)


def _some_time(text: str) -> str:
    if not parse_duration(text):
        raise PydanticCustomError("bad_duration", "this duration has to be longer than nothing")
    return text


def _size(value: object) -> str:
    try:
        parse_size(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("bad_size", "{words}", {"words": str(error)}) from error
    return str(value)


Duration = Annotated[
    str,
    BeforeValidator(_duration),
    Field(json_schema_extra={"pattern": "^[0-9]{1,9}(ms|s|m|h|d)$", "examples": ["10m"]}),
]
"""A whole number with a unit ``ms s m h d``; ``model.units.parse_duration`` reads it."""

SomeTime = Annotated[Duration, AfterValidator(_some_time)]
"""A duration above nothing."""

Size = Annotated[
    str,
    BeforeValidator(_size),
    Field(json_schema_extra={"pattern": "^[0-9]{1,9}(B|kB|MB|GB|TB)$", "examples": ["250MB"]}),
]
"""Bytes, as a whole number with a unit ``B kB MB GB TB`` (powers of ten)."""


CRON_WORDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Debian's names for common schedules, spelled out: cronsim knows none of them."""

_ANY_MONDAY: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


_CRON_PLACE = r"(?:[0-9]+|[A-Za-z]{3})"
_CRON_ITEM = rf"(?:(?:\*|{_CRON_PLACE}-{_CRON_PLACE})(?:/[0-9]+)?|{_CRON_PLACE})"
_CRON_FIELD: Final = re.compile(rf"{_CRON_ITEM}(?:,{_CRON_ITEM})*")
_CRON_FIELDS = "minute, hour, day of month, month, day of week"


def _cron(text: str) -> str:
    if text.startswith("@") and text not in CRON_WORDS:
        raise PydanticCustomError(
            "bad_cron", "known names are {names}", {"names": ", ".join(sorted(CRON_WORDS))}
        )
    expression = CRON_WORDS.get(text, text)
    if len(expression.split()) != _CRON_FIELDS.count(",") + 1:
        # CronSim takes a sixth field, seconds, which Debian's cron does not know.
        raise PydanticCustomError(
            "bad_cron", "a cron expression has five fields: {fields}", {"fields": _CRON_FIELDS}
        )
    strange = next((f for f in expression.split() if not _CRON_FIELD.fullmatch(f)), None)
    if strange is not None:
        # Nor its L, its #, and its 5/10, which other crons read otherwise.
        raise PydanticCustomError(
            "bad_cron",
            "Debian's cron does not read {field}: a field has numbers, names, ranges, * and steps"
            " of these two",
            {"field": repr(strange)},
        )
    try:
        CronSim(expression, _ANY_MONDAY)
    except CronSimError as error:
        raise PydanticCustomError(
            "bad_cron",
            "a cron expression has {fields}: {why}",
            {"fields": _CRON_FIELDS, "why": str(error).lower()},
        ) from error
    return text


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise PydanticCustomError(
            "bad_timezone", "a time zone has an IANA name such as Europe/Berlin, or is UTC"
        ) from error
    return text


Cron = Annotated[str, AfterValidator(_cron), Field(json_schema_extra={"examples": ["0 2 * * *"]})]
Zone = Annotated[
    str, AfterValidator(_zone), Field(json_schema_extra={"examples": ["Europe/Berlin"]})
]


def _uuid(text: str) -> str:
    try:
        uuid.UUID(text)
    except ValueError as error:
        raise PydanticCustomError(
            "bad_id", "this is a UUID, such as one that uuidgen prints"
        ) from error
    return text


Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]


def _host(text: str) -> bool:
    name = text.removeprefix("*.")
    return bool(
        re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.))*", name)
    ) and not re.fullmatch(r"[0-9.]+", name)


def _egress(text: str) -> str:
    host, port = text, ""
    if (found := re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)) is not None:
        host, port = found[1], found[2] or ""
    elif text.count(":") == 1:
        host, port = text.split(":")
        port = port or "none"
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535):  # noqa: PLR2004 - the highest port there is
        raise PydanticCustomError("bad_value", "a port is a number from 1 to 65535")
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError as error:
        if not _host(host):
            raise PydanticCustomError(
                "bad_value",
                "allow names an address, a CIDR range, a name or *.name, with or without :port",
            ) from error
    return text


EgressRule = Annotated[
    str,
    AfterValidator(_egress),
    Field(json_schema_extra={"examples": ["127.0.0.1:9093", "10.20.0.0/16", "*.example.net:443"]}),
]

Json = Any
"""Any JSON value; templates in it are texts."""
