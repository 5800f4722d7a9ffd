"""Where a page of a list ended: (created_at, id) as a token of ``A-Za-z0-9_-``."""

import base64
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from xyn_reconciler.model.dto import Page
from xyn_reconciler.model.errors import InvalidError

MAX_LIMIT: Final = 200
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Row = TypeVar("Row")
Item = TypeVar("Item")
Position = tuple[dt.datetime, uuid.UUID]


class InvalidCursorError(InvalidError):
    """The cursor is not one that a list of this API gave."""

    code = "invalid_cursor"


def encode(position: Position) -> str:
    created_at, row_id = position
    micros = (created_at - _EPOCH) // dt.timedelta(microseconds=1)
    return base64.urlsafe_b64encode(micros.to_bytes(8, "big") + row_id.bytes).decode()


def decode(cursor: str | None) -> Position | None:
    """Read a cursor; ``InvalidCursorError`` for anything that :func:`encode` did not make."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        micros = int.from_bytes(raw[:8], "big")
        position = (_EPOCH + dt.timedelta(microseconds=micros), uuid.UUID(bytes=raw[8:]))
    except (ValueError, OverflowError) as error:
        raise InvalidCursorError("cursor is not one that this API gave") from error
    return position


def page(
    read: Callable[[int, Position | None], Sequence[Row]],
    *,
    limit: int,
    cursor: str | None,
    position: Callable[[Row], Position],
    item: Callable[[Row], Item],
) -> Page[Item]:
    """Read one page; ``read(limit, before)`` gives rows newest first."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidError(f"limit must be between 1 and {MAX_LIMIT}")
    rows = read(limit + 1, decode(cursor))
    shown = rows[:limit]
    return Page(
        items=[item(row) for row in shown],
        next_cursor=encode(position(shown[-1])) if len(rows) > limit else None,
    )
