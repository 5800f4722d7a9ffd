"""What a request cost, by the table of prices in the state repository. Pure."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from xyn_reconciler.agent.usage import Usage
from xyn_reconciler.model.capability import Footprint

_MILLION: Final = 1_000_000
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
    parts = {
        "input": usage.tokens_in - usage.cached - usage.cache_written,
        "cached": usage.cached,
        "cache_written": usage.cache_written,
        "output": usage.tokens_out,
    }
    # In decimals, as prices are written: 0.1 is no number that a float holds.
    total = sum(
        (Decimal(str(price.get(part, price["input"]))) * tokens for part, tokens in parts.items()),
        Decimal(),
    )
    dims = {"provider": provider, "model": model}
    return Footprint("cost", float(total / _MILLION), str(prices["currency"]), dims)


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
