"""A node with blueprints active, for tests of what triggers do on a real Postgres."""

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from xyn_reconciler.desired.load import load
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.desired import Document
from xyn_reconciler.trigger.arrival import Receipt
from xyn_reconciler.trigger.intake import Intake
from xyn_reconciler.trigger.schedule import Clockwork

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
SETTINGS: dict[str, Any] = {
    "id": "seed",
    "env_id": "local",
    "mode": "active",
    "stage": "dev",
    "auth": "open",
    "egress": [],
    "limits": {},
    "providers": {},
    "labels": [],
    "vars": {},
    "primary": True,
    "follow": "origin",
}
DISK = {
    "id": "bp.disk",
    "name": "Disk",
    "triggers": [{"event_type": "checkmk.alert", "match": {"data.state": ["CRIT"]}}],
    "inputs": {"host": {"type": "string", "from": "{{ event.data.host }}"}},
    "plan": [{"id": "note", "kind": "transform", "set": {"host": "{{ inputs.host }}"}}],
}


def on(event_type: str, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "triggers": [{"event_type": event_type}],
        "plan": [{"id": "note", "kind": "transform", "set": {"x": 1}}],
    }


class World:
    """A node with blueprints active, as the reconciler would leave it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.restart()
        self.sequence = 0
        with database.begin() as connection:
            desired.ensure_node(connection, "seed")

    def restart(self) -> None:
        """Forget what a process holds in memory."""
        self.intake = Intake(compile_run, Redactor(["hunter2-hunter2"]), clock=lambda: self.now)
        self.clockwork = Clockwork(self.intake)

    def tick(self, **later: float) -> int:
        """Let time pass, and look at what is due."""
        self.now += dt.timedelta(**later)
        with self.database.begin() as connection:
            return self.clockwork.tick(connection, self.now)

    def activate(
        self,
        *blueprints: dict[str, Any],
        retired: tuple[str, ...] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        with self.database.begin() as connection:
            self.activate_in(connection, *blueprints, retired=retired, settings=settings)
        self.sequence += 1

    def activate_documents(self, *documents: Document) -> None:
        """Make documents active that the language does not know yet."""
        with self.database.begin() as connection:
            self._apply(connection, documents, (), None)
        self.sequence += 1

    def activate_in(
        self,
        connection: Connection,
        *blueprints: dict[str, Any],
        retired: tuple[str, ...] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        loaded = [
            load(f"blueprints/{each['id']}.json", uuid.uuid4().hex, json.dumps(each).encode())
            for each in blueprints
        ]
        assert [each.problems for each in loaded] == [()] * len(loaded)
        documents = [Document(**each.to_row()) for each in loaded]
        self._apply(connection, documents, retired, settings)

    def _apply(
        self,
        connection: Connection,
        documents: Sequence[Document],
        retired: Sequence[str],
        settings: Mapping[str, Any] | None,
    ) -> None:
        desired.apply_documents(
            connection,
            upserts=documents,
            retired=[f"blueprints/{name}.json" for name in retired],
            revision=f"{self.sequence + 1:040}",
            sequence=self.sequence + 1,
            now=self.now,
        )
        desired.save_applied(
            connection,
            revision=f"{self.sequence + 1:040}",
            sequence=self.sequence + 1,
            settings=SETTINGS | dict(settings or {}),
            conditions=[],
            now=self.now,
        )

    def take_in(self, *given: Event) -> Receipt:
        with self.database.begin() as connection:
            return self.intake.take_in(connection, given)

    def emit(self, *given: Event) -> None:
        with self.database.begin() as connection:
            self.intake.emit(connection, given)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(question))]

    def names(self) -> list[str]:
        return [name for (name,) in self.ask("SELECT event_name FROM events ORDER BY event_name")]


def event(name: str = "checkmk.alert", **fields: object) -> Event:
    known: dict[str, Any] = {
        "event_id": uuid.uuid4(),
        "event_name": name,
        "occurred_at": NOW,
        "env_id": "local",
        "actor": "ada",
        "correlation_id": "c-1",
        "data": {"host": "db1", "state": "CRIT"},
    }
    known.update(fields)
    return Event(**known)
