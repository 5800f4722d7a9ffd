"""What has to be true before an action: merged from several rules, and held against the evidence.

The trap: approver sets are united (seed 31.2), so a rule that names nobody must not
bring the default approvers into a merge with one that does.
"""

import zoneinfo
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.model.blueprint import Approvals
from xyn_reconciler.model.policy import DAYS, Requirements, TimeWindow
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.kernel import may_approve
from xyn_reconciler.policy.request import Request
from xyn_reconciler.policy.window import is_open, next_opening


@dataclass(frozen=True, slots=True)
class Needed:
    """The requirements of all rules that had a say; all of them have to be met."""

    approvals: Approvals | None = None
    tests_required: bool = False
    backtest_required: bool = False
    mfa: bool = False
    windows: tuple[TimeWindow, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a policy would write it, but that there may be several windows."""
        written: dict[str, Any] = {
            "approvals": None if self.approvals is None else self.approvals.model_dump(),
            "tests_required": self.tests_required,
            "backtest_required": self.backtest_required,
            "mfa": self.mfa,
            "time_windows": [window.model_dump(by_alias=True) for window in self.windows],
        }
        return {name: value for name, value in written.items() if value}


NOTHING: Final = Needed()


def merge(parts: Iterable[Requirements | Needed | None]) -> Needed:
    """Merge requirements: most approvals, all approvers, self only where all allow it, every ask.

    What comes first stands first; the order changes nothing else.
    """
    given = [part for part in parts if part is not None]
    approvals = [part.approvals for part in given if part.approvals is not None]
    windows = [window for part in given for window in _windows(part)]
    return Needed(
        approvals=_united(approvals) if approvals else None,
        tests_required=any(part.tests_required for part in given),
        backtest_required=any(part.backtest_required for part in given),
        mfa=any(part.mfa for part in given),
        windows=tuple(window for at, window in enumerate(windows) if window not in windows[:at]),
    )


def _windows(part: Requirements | Needed) -> Iterable[TimeWindow]:
    if isinstance(part, Needed):
        return part.windows
    return () if part.time_window is None else (part.time_window,)


def _united(approvals: Collection[Approvals]) -> Approvals:
    return Approvals(
        min=max(each.min for each in approvals),
        from_any_of=list(dict.fromkeys(name for each in approvals for name in each.from_any_of)),
        allow_self=all(each.allow_self for each in approvals),
    )


@dataclass(frozen=True, slots=True)
class Unmet:
    """A condition that does not hold, with what would mend it."""

    condition: Literal["approvals", "tests", "backtest", "mfa", "time_window"]
    words: str

    def __str__(self) -> str:
        return self.words


def unmet(needed: Needed, request: Request, approvers: Collection[Principal] = ()) -> list[Unmet]:
    """Say which conditions do not hold; nothing left means that it may be done.

    ``approvers`` have said yes to exactly this (the effect digest is the caller's to
    compare); whoever may not, counts for nothing.
    """
    return list(_unmet(needed, request, approvers))


def _unmet(needed: Needed, request: Request, approvers: Collection[Principal]) -> Iterator[Unmet]:
    if needed.approvals is not None:
        agreed = eligible(needed.approvals, request.selves, approvers)
        if len(agreed) < needed.approvals.min:
            yield Unmet("approvals", _missing(needed.approvals, request.selves, len(agreed)))
    if needed.tests_required and "tests_passed" not in request.artifacts:
        yield Unmet("tests", "passing tests of exactly this")
    if needed.backtest_required and "backtest" not in request.artifacts:
        yield Unmet("backtest", "a backtest of exactly this")
    if needed.mfa:
        yield Unmet(
            "mfa",
            "a second factor is asked for, and Xyn has none: the policy has to do without mfa",
        )
    closed = [window for window in needed.windows if not is_open(window, request.now)]
    if closed:
        words = " and ".join(map(describe, closed))
        opening = next_opening(needed.windows, request.now)
        if opening is None:
            yield Unmet("time_window", f"allowed {words}: all of its time windows never meet")
        else:
            local = opening.astimezone(zoneinfo.ZoneInfo(closed[0].timezone))
            at = f"{local:%Y-%m-%d %H:%M} {closed[0].timezone}"
            yield Unmet("time_window", f"allowed {words}: it opens {at}")


def eligible(
    approvals: Approvals, selves: Collection[str], principals: Iterable[Principal]
) -> list[Principal]:
    """Give those whose yes counts, each once: people whom it names, and not for their own work."""
    found = {
        each.id: each
        for each in principals
        if may_approve(each)
        and each.subjects().intersection(approvals.from_any_of)
        and (approvals.allow_self or each.id not in selves)
    }
    return list(found.values())


def _missing(approvals: Approvals, selves: Collection[str], count: int) -> str:
    left = approvals.min - count
    words = f"{left} more {'approval' if left == 1 else 'approvals'} by {any_of(approvals)}"
    return words if approvals.allow_self else f"{words}, and not by {', '.join(sorted(selves))}"


def any_of(approvals: Approvals) -> str:
    return " or ".join(approvals.from_any_of)


def describe(window: TimeWindow) -> str:
    """A window in words: ``mon-fri 22:00-06:00 Europe/Berlin``."""
    days = [day for day in DAYS if day in window.days]
    run = DAYS.index(days[-1]) - DAYS.index(days[0]) == len(days) - 1 and len(days) > 2  # noqa: PLR2004 - two days read better with a comma
    named = f"{days[0]}-{days[-1]}" if run else ", ".join(days)
    every = "" if len(days) == len(DAYS) else f"{named} "
    return f"{every}{window.from_}-{window.to} {window.timezone}"
