"""How pages say times, sizes and data. Pure: ``now`` is an argument."""

import datetime as dt
import json
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any, Final

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.trigger import glob

GIST: Final = 120
"""Characters of an event's data, or of a value, that a list shows."""

FAILURES: Final = (
    "xyn.*.failed",
    "xyn.*.validation_failed",
    "xyn.cicd.test.failed",
    "xyn.cicd.deploy.failed",
    "xyn.infra.*.failed",
    "xyn.backup.failed",
)
"""Events that the console marks (seed 33.2)."""

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
    return json.dumps(value, indent=2, ensure_ascii=False, default=scalar)


def scalar(value: object) -> str:
    """What DTOs hold beyond JSON's own types, as their schema says it; for ``json.dumps``."""
    if isinstance(value, dt.datetime):
        return isoformat(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"no DTO holds a {type(value).__name__}")


def gist(data: dict[str, Any]) -> str:
    """What an event says, on one line: ``host: web-1, state: CRIT``."""
    return _line(", ".join(f"{key}: {_plain(value)}" for key, value in data.items()))


def said(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """One value on one line: a text as it is, ``nothing`` for ``null``, else JSON."""
    return "nothing" if value is None else _line(_plain(value))


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= GIST else line[: GIST - 1] + "…"


def is_failure(event_name: str) -> bool:
    """Whether the console marks an event of this name."""
    return any(glob.matches(pattern, event_name) for pattern in FAILURES)


def clock(then: dt.datetime, zone: str) -> str:
    """A moment on the wall clock of a zone: ``Sun 2026-11-22 12:05 CET``."""
    return then.astimezone(zoneinfo.ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z")


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


FILTERS: Final[Mapping[str, Callable[..., str | bool]]] = {
    "ago": ago,
    "clock": clock,
    "duration": duration,
    "gist": gist,
    "is_failure": is_failure,
    "iso": isoformat,
    "moment": moment,
    "pretty": pretty,
    "rough": rough,
    "said": said,
    "short": short,
    "size": size,
    "tail": tail,
}
"""As templates call them."""
