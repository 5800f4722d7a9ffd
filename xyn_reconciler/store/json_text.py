r"""A column that keeps any JSON value exactly.

Tables that hold what came from outside (events, inputs, outputs) use
:class:`JsonText`. It is Postgres ``json``, never ``jsonb``: ``jsonb`` refuses
``"\u0000"`` and lone surrogates, rewrites numbers and sorts keys, while
``json`` checks the syntax and keeps the text.

The trap: psycopg parses ``json`` by itself. The column is therefore read as
text and parsed here, whichever connection reads it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, type_coerce
from sqlalchemy.types import UserDefinedType

if TYPE_CHECKING:
    from sqlalchemy import BindParameter, ColumnElement
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.type_api import TypeEngine, _BindProcessorType, _ResultProcessorType


def dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value, as json.dumps takes it
    """Give the one text of a value: ASCII, compact, keys in their own order.

    Raises ``ValueError`` for NaN and the infinities (RFC 8259, section 6).
    """
    return _ENCODER.encode(value)


# Made once: json.dumps makes one a call for anything but its defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))

_UNSTORABLE = dict.fromkeys([0, *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}")


def storable(value: str) -> str:
    """Give the text with U+FFFD for what a Postgres text column refuses."""
    if value.isascii() and "\0" not in value:
        return value
    return value.translate(_UNSTORABLE)


class JsonText(UserDefinedType[Any]):
    """JSON value in Python, ``json`` in Postgres.

    ``None`` is stored as SQL NULL; with ``none_as_null=False`` as the JSON
    value ``null``, for a column that is NOT NULL and may hold any value. Both
    are read as ``None``.
    """

    cache_ok = True

    # By position too: SQLAlchemy copies types by the names of such arguments alone.
    def __init__(self, none_as_null: bool = True) -> None:  # noqa: FBT001, FBT002 - as above
        """Choose what ``None`` becomes."""
        self.none_as_null = none_as_null

    def get_col_spec(self, **_: object) -> str:
        """Name the Postgres type."""
        return "JSON"

    def coerce_compared_value(self, op: object, value: object) -> TypeEngine[Any]:
        """Let ``column.op("->>")("key")`` take a plain key, not a JSON string."""
        del op
        return Text() if isinstance(value, str) else self

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Write the value as text; Postgres takes the parameter's type from the column."""
        del dialect

        def process(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
            return None if value is None and self.none_as_null else dumps(value)

        return process

    def bind_expression(self, bindvalue: BindParameter[Any]) -> ColumnElement[Any]:
        """Name the type, so that the text is never taken for varchar."""
        return cast(bindvalue, type_=self)

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Read the text: psycopg would parse the value first."""
        return type_coerce(cast(colexpr, Text()), self)

    def result_processor(self, dialect: Dialect, coltype: object) -> _ResultProcessorType[Any]:
        """Parse the text."""
        del dialect, coltype

        def process(value: Any) -> Any:  # noqa: ANN401 - text in, any JSON value out
            return None if value is None else json.loads(value)

        return process
