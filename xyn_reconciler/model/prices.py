"""What models cost: ``prices.yaml``. Prices change, so each says since when it holds."""

import datetime as dt
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.document import DocumentId, Maybe, Part


def _day(text: str) -> str:
    try:
        dt.date.fromisoformat(text)
    except ValueError as error:
        raise PydanticCustomError("bad_value", "a day is written as 2026-01-31") from error
    return text


Day = Annotated[
    str,
    AfterValidator(_day),
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"examples": ["2026-01-31"]}),
]
"""A day in UTC."""

PerMillion = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
"""For a million tokens, in the table's currency."""


class ModelPrice(Part):
    """What a model costs from a day on."""

    noun: ClassVar[str] = "a price"

    provider: DocumentId
    """A name under ``providers`` in node.yaml."""
    model: Annotated[str, Field(min_length=1)]
    """The provider's name of the model, or ``*`` for all that have no price of their own."""
    since: Day = "0001-01-01"
    """The first day on which it holds, in UTC; the latest one counts."""
    input: PerMillion
    """What the model is given."""
    cached: Maybe[PerMillion] = None
    """Of that: read from the provider's cache; as ``input`` where absent."""
    cache_written: Maybe[PerMillion] = None
    """Of that: written to the provider's cache; as ``input`` where absent."""
    output: PerMillion
    """What the model writes, thinking included."""


class Prices(Part):
    """The table of prices, for a million tokens."""

    noun: ClassVar[str] = "prices.yaml"

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """Three letters of ISO 4217: ``USD``."""
    prices: list[ModelPrice] = Field(default_factory=list)
    """Which model costs how much, from which day on."""
