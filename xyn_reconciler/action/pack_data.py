"""``pack.migrate.*`` and ``pack.rows.*``: a pack's tables, kept in step with its system.

A pack's contracts are mirror tables in the pack's own Postgres schema, which blueprints fill
and ask. ``pack.migrate.apply`` makes them and runs the pack's ``migrations/``, forward only;
``pack.migrate.plan`` says what that would be. All work on the pack as it is active now, not
as it was when the run began: a table is shared by all runs. A mirror is no record: after a
rebuild it is made anew, and filled by the blueprints that fill it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.action.pack_lent import Lent
from xyn_reconciler.model.capability import ActionSpec

ROWS_MAX: Final = 10_000
"""Rows that one step may write."""
ANSWER_MAX: Final = 1000
"""Rows that one step may ask for."""

_PACK: Final = {"type": "string", "minLength": 1, "description": "The pack's id."}
_TABLE: Final = {"type": "string", "minLength": 1, "description": "A name under contracts."}
_WHERE: Final = {
    "type": "object",
    "description": "Column to the value that it has to have, or to a list of such.",
}
_OF_PACKS: Final = {
    "pack_not_found": "no pack of that name is active here",
    "pack_unusable": "a contract of the pack makes no table",
}
_OF_TABLES: Final = {
    **_OF_PACKS,
    "table_not_found": "the pack has no contract of that name",
    "not_migrated": "the table is not what the contract says: run pack.migrate.apply",
}
_OF_MIGRATIONS: Final = {
    **_OF_PACKS,
    "migration_changed": "a step that ran here is another text now, or gone",
    "contract_changed": "a table would lose something (its key or a column's type changed), or"
    " a migration took its name",
}
_PLANNED: Final = {
    "type": "object",
    "required": ["tables", "migrations"],
    "properties": {
        "tables": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "version": {"type": "integer"},
                    "columns": {"type": "array", "items": {"type": "string"}},
                },
            },
            "description": "Tables that are made, or get these columns.",
        },
        "migrations": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Files, in their order.",
        },
    },
}


def _inputs(*required: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


PLAN: Final = ActionSpec(
    "pack.migrate.plan",
    "Say what pack.migrate.apply would do.",
    _inputs("pack", pack=_PACK),
    _PLANNED,
    idempotent=True,
    capabilities=frozenset({"database"}),
    errors=_OF_MIGRATIONS,
)
APPLY: Final = ActionSpec(
    "pack.migrate.apply",
    "Make a pack's tables and run its migrations.",
    _inputs("pack", pack=_PACK),
    _PLANNED,
    idempotent=True,  # What ran is noted in its own transaction.
    capabilities=frozenset({"database"}),
    errors={
        **_OF_MIGRATIONS,
        "migration_failed": "Postgres refused a step; nothing of it stays",
        "may_not_make_roles": "the database's user may not make the role that steps run as",
        "may_not_log_in": "the server does not let that role in",
    },
)
UPSERT: Final = ActionSpec(
    "pack.rows.upsert",
    "Write rows into a pack's table.",
    _inputs(
        "pack",
        "table",
        "rows",
        pack=_PACK,
        table=_TABLE,
        rows={"type": "array", "maxItems": ROWS_MAX, "items": {"type": "object"}},
        replace={
            "type": "boolean",
            "default": False,
            "description": "Whether every other row goes: these are all that there are.",
        },
    ),
    {
        "type": "object",
        "required": ["written", "removed"],
        "properties": {"written": {"type": "integer"}, "removed": {"type": "integer"}},
    },
    idempotent=True,
    capabilities=frozenset({"database"}),
    errors={**_OF_TABLES, "bad_row": "a row does not fit the contract; nothing was written"},
)
QUERY: Final = ActionSpec(
    "pack.rows.query",
    "Read rows of a pack's table.",
    _inputs(
        "pack",
        "table",
        pack=_PACK,
        table=_TABLE,
        where=_WHERE,
        order={
            "type": "array",
            "items": {"type": "string"},
            "description": "Columns, with - in front for the largest first; by key else.",
        },
        limit={"type": "integer", "minimum": 1, "maximum": ANSWER_MAX, "default": 100},
    ),
    {
        "type": "object",
        "required": ["rows", "more"],
        "properties": {
            "rows": {"type": "array", "items": {"type": "object"}},
            "more": {"type": "boolean", "description": "Whether there are others."},
        },
    },
    idempotent=True,
    capabilities=frozenset({"database"}),
    errors={**_OF_TABLES, "bad_question": "a column that is none, or a value that does not fit it"},
)
DELETE: Final = ActionSpec(
    "pack.rows.delete",
    "Take rows out of a pack's table.",
    {
        **_inputs(
            "pack",
            "table",
            pack=_PACK,
            table=_TABLE,
            where={**_WHERE, "minProperties": 1},
            all={"const": True, "description": "Instead of where: every row."},
        ),
        "oneOf": [{"required": ["where"]}, {"required": ["all"]}],
    },
    {"type": "object", "required": ["removed"], "properties": {"removed": {"type": "integer"}}},
    idempotent=True,
    capabilities=frozenset({"database"}),
    errors={**_OF_TABLES, "bad_question": "a column that is none, or a value that does not fit it"},
)
SPECS: Final = (PLAN, APPLY, UPSERT, QUERY, DELETE)


@dataclass(frozen=True, slots=True)
class PackData:
    """One of these actions."""

    spec: ActionSpec
    lent: Lent

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        # With it come the tables and a validator: neither a command nor an idle worker needs them.
        from xyn_reconciler.action.pack_data_work import work  # noqa: PLC0415 - as above

        return work(self.spec.name, self.lent, inputs, context)


def pack_data_actions(lent: Lent) -> list[Action]:
    """Give all of them."""
    return [PackData(spec, lent) for spec in SPECS]
