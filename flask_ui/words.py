"""How pages say times, sizes and data. Pure: ``now`` is an argument."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from xyn_reconciler.model.event import isoformat

GIST: Final = 120
"""Characters of an event's data that a list shows."""

DASH: Final = "\N{EN DASH}"
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def ago(then: dt.datetime, now: dt.datetime) -> str:
    """``3 min ago``; what lies ahead is ``in 3 min``."""
    seconds = (now - then).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    words = rough(abs(seconds))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def rough(seconds: float) -> str:
    """``45 s``, ``12 min``, ``30 h``, ``5 d``."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h"
    return f"{seconds // _DAY:.0f} d"


def moment(then: dt.datetime) -> str:
    """``2026-11-22 12:05:31 UTC``."""
    return then.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(start: dt.datetime | None, end: dt.datetime | None) -> str:
    """How long something took, as exact as it is short; a dash where it has no two ends."""
    if start is None or end is None:
        return DASH
    seconds = max((end - start).total_seconds(), 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


def pretty(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON for people's eyes; the template escapes it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def gist(data: dict[str, Any]) -> str:
    """What an event says, on one line: ``host: web-1, state: CRIT``."""
    parts = (
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in data.items()
    )
    line = " ".join(", ".join(parts).split())
    return line if len(line) <= GIST else line[: GIST - 1] + "…"


def size(length: int | None) -> str:
    """``12.3 KiB``."""
    if length is None:
        return DASH
    amount = float(length)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:  # noqa: PLR2004 - what the units are made of
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def short(revision: str) -> str:
    """The beginning of a commit's id, enough to tell it from its neighbours."""
    return revision[:8]


def tail(identifier: object) -> str:
    """The end of an id of ours: those of one minute all begin alike."""
    return str(identifier)[-8:]


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "ago": ago,
    "duration": duration,
    "gist": gist,
    "iso": isoformat,
    "moment": moment,
    "pretty": pretty,
    "rough": rough,
    "short": short,
    "size": size,
    "tail": tail,
}
"""As templates call them."""
