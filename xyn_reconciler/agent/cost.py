"""What a request cost, by the table of prices in the state repository. Pure."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.agent.usage import Usage
from xyn_reconciler.model.capability import Footprint

_MILLION: Final = 1_000_000
_DIGITS: Final = 9
_ALWAYS: Final = "0001-01-01"


def cost(
    prices: Mapping[str, Any], provider: str, model: str, usage: Usage, day: dt.date
) -> Footprint | None:
    """Give the cost in the table's currency; ``None`` where no price is known on that day.

    ``prices`` is a document of kind ``prices``.
    """
    price = _price(prices, provider, model, day)
    if price is None:
        return None
    plain = usage.tokens_in - usage.cached - usage.cache_written
    total = (
        max(plain, 0) * price["input"]
        + usage.cached * price.get("cached", price["input"])
        + usage.cache_written * price.get("cache_written", price["input"])
        + usage.tokens_out * price["output"]
    ) / _MILLION
    dims = {"provider": provider, "model": model}
    return Footprint("cost", round(total, _DIGITS), str(prices["currency"]), dims)


def _price(
    prices: Mapping[str, Any], provider: str, model: str, day: dt.date
) -> Mapping[str, Any] | None:
    """The latest of those that hold; one of the model itself comes before one of all."""
    holding = [
        (entry["model"] == model, entry.get("since", _ALWAYS), entry)
        for entry in prices.get("prices") or ()
        if entry["provider"] == provider
        and entry["model"] in {model, "*"}
        and entry.get("since", _ALWAYS) <= day.isoformat()
    ]
    return max(holding, key=lambda each: each[:2])[2] if holding else None
