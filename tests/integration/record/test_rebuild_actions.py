"""An action that was run by itself is recorded as any run, and rebuilt."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.integration.record.record_world import SECRET, TABLES, World
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.permission import TRY, ask_to_execute

NewDatabase = Callable[[], Database]


class Door:
    """Opens with a token that is nobody's business, or tells it while it fails."""

    spec = ActionSpec("door.open", "Open.", {}, {}, idempotent=True, redact=("token", "keys.pin"))

    def run(self, inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        told = {"token": "open-sesame", "keys": [{"pin": 471_108, "room": 7}]}
        if inputs.get("stuck"):
            raise PermanentError("stuck", "it is stuck", details=told)
        return told


def tried(world: World, action: str, given: dict[str, Any]) -> None:
    document = {
        "id": TRY,
        "name": f"Try {action}",
        "plan": [{"id": "try", "kind": "action_task", "action": action, "with": given}],
    }
    with world.database.begin() as connection:
        rules = world.intake.view(connection).rules
        permission = ask_to_execute(rules, rules.principal("operator"), action, world.now())
        run_id = world.intake.start_document(
            connection,
            document,
            actor="operator",
            correlation_id="c-1",
            permission=permission,
            settings={},
        )
    world.advance(run_id, actions={"door.open": Door()})


def test_the_run_of_an_action_survives_a_lost_database(
    world: World, new_database: NewDatabase
) -> None:
    tried(world, "http.call", {"url": f"http://127.0.0.1:9/{SECRET}"})
    tried(world, "http.call", {"url": "http://127.0.0.1:9/"})
    world.committer.drain()
    tables = ("runs", "steps", "attempts", "plans")
    before = {table: world.rows(table) for table in tables}

    world.rebuild_into(new_database())

    assert {table: world.rows(table) for table in tables} == before
    assert world.ask("SELECT blueprint_id, status, error ->> 'code' FROM runs") == [
        (TRY, "failed", "egress_denied"),
        (TRY, "failed", "egress_denied"),
    ]
    assert SECRET not in "".join(row for table in tables for row in before[table])


def test_what_an_action_says_is_never_kept_is_in_no_row_and_no_record(world: World) -> None:
    tried(world, "door.open", {})
    tried(world, "door.open", {"stuck": True})
    world.committer.drain()

    clean = {"token": "[redacted]", "keys": [{"pin": "[redacted]", "room": 7}]}
    assert world.ask("SELECT outputs, error -> 'details' FROM steps ORDER BY status") == [
        (clean, None),
        (None, clean),
    ]
    rows = "".join(row for table in TABLES for row in world.rows(table))
    records = world.git("log", "-p", "--all", "--text")
    assert "xyn.try" in rows
    assert "xyn.try" in records
    for secret in ("open-sesame", "471108"):
        assert secret not in rows + records
