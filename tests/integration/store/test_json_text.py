import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, null, select, text
from sqlalchemy.exc import StatementError

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_text import JsonText, dumps

KEPT = Table(
    "kept",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("value", JsonText(none_as_null=False), nullable=False),
    Column("perhaps", JsonText()),
    prefixes=["TEMPORARY"],
)


@pytest.fixture
def kept(connection: Connection) -> Connection:
    KEPT.create(connection)
    return connection


def nested(levels: int) -> object:
    value: object = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        "\x00",
        {"\x00key": "a\x00b"},
        "\ud800 lone",
        {"lone \udfff": 1},
        10**3999 + 7,
        1e308,
        -0.0,
        0.1 + 0.2,
        nested(500),
        "ünïcödé \U0001f600",
        {"b": 1, "a": 2},
        "",
        [],
        None,
        "null",
        "it's 100%s :name \\u0000",
    ],
    ids=lambda value: repr(value)[:20].encode("ascii", "replace").decode(),
)
def test_any_json_value_comes_back_byte_for_byte(kept: Connection, value: object) -> None:
    returned = kept.execute(insert(KEPT).values(value=value).returning(KEPT.c.value)).scalar_one()
    read = kept.execute(select(KEPT.c.value)).scalar_one()

    assert dumps(returned) == dumps(read) == dumps(value)


def test_many_rows_at_once_come_back_in_order(kept: Connection) -> None:
    values = ["\x00", {"n": 1}, [1.5], None]

    kept.execute(insert(KEPT), [{"value": value} for value in values])

    assert kept.execute(select(KEPT.c.value).order_by(KEPT.c.id)).scalars().all() == values


def test_none_is_null_unless_the_column_says_otherwise(kept: Connection) -> None:
    kept.execute(insert(KEPT).values(value=None, perhaps=None))

    stored = kept.execute(text("SELECT value::text, perhaps::text FROM kept")).one()
    assert tuple(stored) == ("null", None)
    assert kept.execute(select(KEPT.c.id).where(KEPT.c.perhaps.is_(null()))).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_is_not_json_is_refused(kept: Connection, value: object) -> None:
    with pytest.raises(StatementError, match="not JSON compliant"):
        kept.execute(insert(KEPT).values(value=value))
