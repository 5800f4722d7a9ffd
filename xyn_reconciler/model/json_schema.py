"""The part of JSON Schema 2020-12 that documents may use for inputs, forms and outputs.

A model rather than the metaschema: a misspelt keyword is a problem here, with
its place and a "did you mean", where JSON Schema itself would ignore it. A
test holds that whatever passes here passes the metaschema too. ``$ref`` is not
part of it: nothing is ever fetched, and no schema can lead back to itself.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.document import Json, Maybe, Part
from xyn_reconciler.model.pattern import compile_pattern

TypeName = Literal["string", "number", "integer", "boolean", "object", "array", "null"]


def _pattern(text: str) -> str:
    try:
        compile_pattern(text)
    except ValueError as error:
        raise PydanticCustomError("bad_value", "{why}", {"why": str(error)}) from error
    return text


def _distinct(names: list[Any]) -> list[Any]:
    if len({str(name) for name in names}) != len(names):
        raise PydanticCustomError("bad_value", "each name stands here once")
    return names


def _one_or_many(value: object) -> str:
    return "kind:list" if isinstance(value, list) else "kind:name"


def _schema_or_bool(value: object) -> str:
    return "kind:flag" if isinstance(value, bool) else "kind:schema"


TypeChoice = Annotated[
    Annotated[TypeName, Tag("kind:name")]
    | Annotated[list[TypeName], Field(min_length=1), AfterValidator(_distinct), Tag("kind:list")],
    Discriminator(_one_or_many),
]


class JsonSchema(Part):
    """A JSON Schema, of the keywords below."""

    noun: ClassVar[str] = "a schema"

    title: Maybe[str] = None
    """The name shown in a form."""
    description: Maybe[str] = None
    """What the value means, shown beside its field."""
    type: Maybe[TypeChoice] = None
    """The kind of value, or a list of kinds."""
    enum: Maybe[Annotated[list[Json], Field(min_length=1)]] = None
    """The values allowed."""
    const: Json = None
    """The one value allowed."""
    default: Json = None
    """The value where none is given."""
    examples: Maybe[list[Json]] = None
    """Values that fit, for people."""
    format: Maybe[str] = None
    """What a string stands for, such as ``date-time`` or ``uri``; shown, not checked."""
    minimum: Maybe[float] = None
    """The least number."""
    maximum: Maybe[float] = None
    """The greatest number."""
    exclusive_minimum: Maybe[float] = Field(default=None, alias="exclusiveMinimum")
    """Numbers are above it."""
    exclusive_maximum: Maybe[float] = Field(default=None, alias="exclusiveMaximum")
    """Numbers are below it."""
    multiple_of: Maybe[Annotated[float, Field(gt=0)]] = Field(default=None, alias="multipleOf")
    """Numbers are whole multiples of it."""
    min_length: Maybe[Annotated[int, Field(ge=0)]] = Field(default=None, alias="minLength")
    """The fewest characters."""
    max_length: Maybe[Annotated[int, Field(ge=0)]] = Field(default=None, alias="maxLength")
    """The most characters."""
    pattern: Maybe[Annotated[str, AfterValidator(_pattern)]] = None
    """A regular expression (RE2) of which a string has to contain a match."""
    items: Maybe["Schema"] = None
    """The schema of every item of a list."""
    prefix_items: Maybe[Annotated[list["Schema"], Field(min_length=1)]] = Field(
        default=None, alias="prefixItems"
    )
    """The schemas of the first items, in order."""
    min_items: Maybe[Annotated[int, Field(ge=0)]] = Field(default=None, alias="minItems")
    """The fewest items."""
    max_items: Maybe[Annotated[int, Field(ge=0)]] = Field(default=None, alias="maxItems")
    """The most items."""
    unique_items: Maybe[bool] = Field(default=None, alias="uniqueItems")
    """Whether no item stands twice."""
    properties: Maybe[dict[str, "Schema"]] = None
    """The schemas of an object's members."""
    required: Maybe[Annotated[list[str], AfterValidator(_distinct)]] = None
    """The members that an object must have."""
    additional_properties: Maybe["Schema"] = Field(default=None, alias="additionalProperties")
    """The schema of members not named in ``properties``; ``false`` forbids them."""
    min_properties: Maybe[Annotated[int, Field(ge=0)]] = Field(default=None, alias="minProperties")
    """The fewest members."""
    max_properties: Maybe[Annotated[int, Field(ge=0)]] = Field(default=None, alias="maxProperties")
    """The most members."""
    all_of: Maybe[Annotated[list["Schema"], Field(min_length=1)]] = Field(
        default=None, alias="allOf"
    )
    """Every one of these has to fit."""
    any_of: Maybe[Annotated[list["Schema"], Field(min_length=1)]] = Field(
        default=None, alias="anyOf"
    )
    """One of these has to fit, or more."""
    one_of: Maybe[Annotated[list["Schema"], Field(min_length=1)]] = Field(
        default=None, alias="oneOf"
    )
    """Exactly one of these has to fit."""
    not_: Maybe["Schema"] = Field(default=None, alias="not")
    """This must not fit."""
    read_only: Maybe[bool] = Field(default=None, alias="readOnly")
    """Shown, and not to be changed."""
    write_only: Maybe[bool] = Field(default=None, alias="writeOnly")
    """Taken, and not shown again."""
    deprecated: Maybe[bool] = None
    """To be avoided."""


Schema = Annotated[
    Annotated[JsonSchema, Tag("kind:schema")] | Annotated[bool, Tag("kind:flag")],
    Discriminator(_schema_or_bool),
]
"""A schema, or ``true`` (anything) or ``false`` (nothing)."""

JsonSchema.model_rebuild()
