"""Which moves of a ref the audit accepted, and whether they lead to where the ref is. Pure.

A move is noted before it happens, so one that is noted may never have happened:
somebody else was faster. What a ref points at must be where a chain of accepted
moves ends, and for ``main``, which only goes forward, nothing that surely was
there may lie beyond it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.record.audit import ACCEPTED


@dataclass(frozen=True, slots=True)
class Move:
    """``None`` stands for a ref that is not there."""

    old: str | None
    new: str | None


def moves_by_ref(entries: Iterable[AuditEntry]) -> dict[str, list[Move]]:
    """Ref name to its accepted moves, the oldest first."""
    found: dict[str, list[Move]] = {}
    for each in entries:
        if each.kind == ACCEPTED and each.subject is not None:
            move = Move(each.entry.get("old"), each.entry.get("new"))
            found.setdefault(each.subject, []).append(move)
    return found


def departure(moves: Sequence[Move], tip: str) -> str | None:
    """Say where a ref that is at ``tip`` left what was accepted; ``None``: nowhere."""
    return _way(moves, tip)[1]


def moved_back(moves: Sequence[Move], tip: str, known: Collection[str]) -> str | None:
    """Say where a ref that only goes forward was after ``tip``; ``None``: nowhere.

    ``known`` are commits that it surely was at, as other records tell. What a
    later move began from it surely was at as well.
    """
    way, _ = _way(moves, tip)
    at = _last(moves, tip, len(moves))
    for move in moves[len(moves) if at is None else at + 1 :]:
        if move.old is not None and move.old not in way:
            return move.old
        if move.new in known and move.new not in way:
            return move.new
    return None


def _way(moves: Sequence[Move], tip: str) -> tuple[set[str], str | None]:
    """Every commit on the way back from ``tip``, and what is wrong with it."""
    way = {tip}
    at = _last(moves, tip, len(moves))
    if at is None:
        return way, f"it is at {tip}, and nobody accepted that"
    # The first that the log knows was there before it, whoever brought it.
    while (old := moves[at].old) is not None and old != moves[0].old:
        way.add(old)
        before = _last(moves, old, at)
        if before is None:
            return (
                way,
                f"it was at {old} when {moves[at].new} was accepted, and nobody accepted that",
            )
        at = before
    if old is not None:
        way.add(old)
    return way, None


def _last(moves: Sequence[Move], new: str, end: int) -> int | None:
    return next((at for at in range(end - 1, -1, -1) if moves[at].new == new), None)
