"""A node without its processes: reconciler, intake, worker and committer on real stores."""

import datetime as dt
import hashlib
import subprocess
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.principal import OPERATOR
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.run import step_id
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.reconcile.restore import Looked, restore
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.record.rebuild import Rebuilt, rebuild
from xyn_reconciler.run import gate
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.worker import Worker
from xyn_reconciler.store import audit, desired, outbox
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.trigger.intake import Intake

SECRET = "hunter2-hunter2"
AUTHOR = "Ada <ada@example.net>"
NODE = "id: seed\nenv_id: local\nmode: active\nstage: dev\n"
DISK = """\
id: bp.disk
triggers:
  - event_type: checkmk.alert
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
plan:
  - {id: look, kind: transform, set: {host: "{{ inputs.host }}"}}
  - {id: size, kind: transform, set: {text: "on {{ steps.look.outputs.host }}"}}
  - {id: note, kind: transform, set: {text: "{{ steps.size.outputs.text }}!"}}
outputs: {text: null}
"""
ASK = """\
id: bp.ask
triggers:
  - event_type: deploy.wanted
plan:
  - {id: look, kind: transform, set: {what: "{{ event.data.what }}"}}
  - {id: ok, kind: gate, mode: manual}
  - {id: done, kind: transform, set: {by: "{{ steps.ok.outputs.approvers }}"}}
outputs: {by: null}
"""
FILES = {
    "node.yaml": NODE,
    "blueprints/disk.yaml": DISK,
    "blueprints/ask.yaml": ASK,
}
TABLES = {
    "events": "event_id",
    "runs": "run_id",
    "steps": "step_id",
    "attempts": "attempt_id",
    "gates": "step_id",
    "approvals": "approval_id",
    "artifacts": "artifact_id",
    "plans": "digest",
    "documents": "path",
    "suppressions": "event_id, blueprint_id",
    "dedupe_windows": "blueprint_id, trigger_index, key",
    "debounced": "blueprint_id, trigger_index, key",
    "footprints": "run_id, key, metric, occurred_at",
    "audit": "audit_id",
    "reviews": "draft_id",
    "review_iterations": "draft_id, iteration",
    "review_comments": "comment_id",
    "review_decisions": "decision_id",
    "grants": "grant_id",
}


class World:
    """One node; ``database`` may be exchanged for a fresh one, which is "dropped" then."""

    def __init__(
        self, database: Database, repository: Repository, folder: Path, node_id: str = "seed"
    ) -> None:
        self.database = database
        self.repository = repository
        self.artifacts = ArtifactStore(folder / "artifacts")
        self.artifacts.prepare()
        self.redactor = Redactor([SECRET])
        self.late = dt.timedelta()
        self.node_id = node_id
        self.catalogue = catalogue(installed_actions())
        self.adopt(database)

    def adopt(self, database: Database) -> None:
        """Begin on a database, as a node's processes do at their start."""
        self.database = database
        with database.begin() as connection:
            desired.ensure_node(connection, self.node_id)
        self.intake = Intake(compile_run, self.redactor, clock=self.now)
        self.reconciler = Reconciler(
            database, self.repository, self.catalogue, self.intake.emit, clock=self.now
        )
        self.committer = Committer(
            database,
            self.repository,
            artifacts=self.artifacts,
            node_id=self.node_id,
            redactor=self.redactor,
            clock=self.now,
        )

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.late

    def push(self, **changes: str | None) -> str:
        """Commit files to main (``blueprints/a.yaml`` as a key) and reconcile."""
        revision = self.commit(changes)
        self.reconciler.reconcile()
        return revision

    def commit(self, changes: dict[str, str | None]) -> str:
        return self.repository.commit_files(
            MAIN,
            expected=self.repository.resolve(MAIN),
            changes={p: None if c is None else c.encode() for p, c in changes.items()},
            message="Change\n",
            author=AUTHOR,
            now=self.now(),
        )

    def event(self, name: str = "checkmk.alert", **fields: Any) -> Event:  # noqa: ANN401 - fields of Event
        known: dict[str, Any] = {
            "event_id": uuid.uuid4(),
            "event_name": name,
            "occurred_at": self.now(),
            "env_id": "local",
            "actor": "ada",
            "correlation_id": "c-1",
            "data": {"host": "db1", "state": "CRIT"},
        }
        return Event(**known | fields)

    def take_in(self, *events: Event) -> list[uuid.UUID]:
        """Take events in; the ids of the runs that they started."""
        with self.database.begin() as connection:
            return self.intake.take_in(connection, events).run_ids

    def advance(self, *run_ids: uuid.UUID, actions: dict[str, Any] | None = None) -> None:
        worker = Worker(
            database=self.database,
            actions=dict(installed_actions()) | (actions or {}),
            artifacts=self.artifacts,
            emit=self.intake.emit,
            unheard=self.intake.unheard,
            redactor=self.redactor,
            secret=lambda _: None,
            may_use_secret=lambda *_: None,
            name="w1",
            clock=self.now,
            jitter=lambda: 0.0,
        )
        with closing(worker):
            for run_id in run_ids:
                worker.advance(run_id)

    def happen(self, name: str = "checkmk.alert", **fields: Any) -> uuid.UUID:  # noqa: ANN401 - fields of Event
        """An event comes and its run goes as far as it can."""
        (run_id,) = self.take_in(self.event(name, **fields))
        self.advance(run_id)
        return run_id

    def approve(self, run_id: uuid.UUID, key: str = "ok") -> None:
        with self.database.begin() as connection:
            gate.decide_gate(
                connection,
                run_id=run_id,
                step_id=step_id(run_id, key),
                principal=OPERATOR,
                decision="approved",
                now=self.now(),
                emit=self.intake.emit,
            )

    def decide(self, kind: str, subject: str, /, by: str = "ada", **entry: Any) -> AuditEntry:  # noqa: ANN401 - JSON
        """Something privileged is decided: an audit entry."""
        made = AuditEntry(kind=kind, actor=by, at=self.now(), subject=subject, entry=entry)
        with self.database.begin() as connection:
            audit.put(connection, [made])
        return made

    def rebuild(self) -> Rebuilt:
        with self.database.begin() as connection:
            return rebuild(connection, self.repository, now=self.now(), progress=lambda _: None)

    def rebuild_into(self, database: Database) -> Rebuilt:
        """Lose the database and start on an empty one, as ``up`` does."""
        self.adopt(database)
        with database.begin() as connection:
            done = rebuild(connection, self.repository, now=self.now(), progress=lambda _: None)
            restore(
                connection,
                self.repository,
                self.catalogue,
                [Looked(each.revision, each.at, each.problems) for each in done.reconciled],
            )
        return done

    def ask(self, question: str, **values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - values of SQL
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(question), values)]

    def rows(self, table: str) -> list[str]:
        """Every row of a table as Postgres writes it, in the order of its key."""
        question = f"SELECT CAST(t AS text) FROM {table} t ORDER BY {TABLES[table]}"  # noqa: S608 - names of tables
        return [row for (row,) in self.ask(question)]

    def digests(self) -> dict[str, str]:
        """A digest of each table."""
        return {
            table: hashlib.sha256("\n".join(self.rows(table)).encode()).hexdigest()
            for table in TABLES
        }

    def waiting(self) -> int:
        with self.database.connect() as connection:
            return outbox.backlog(connection)[0]

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.repository.path), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def tips(self) -> dict[str, str]:
        return self.repository.refs("refs/xyn/")
