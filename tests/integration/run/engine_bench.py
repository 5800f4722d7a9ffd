"""A worker on a real database, and a way to start blueprints without Git."""

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.dto import RunDto, StepDto
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.run import PlanNode
from xyn_reconciler.run import gate
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.worker import Worker, utc_now
from xyn_reconciler.store import artifact_rows, dispatch, runs
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.events import Told
from xyn_reconciler.store.runs import NewRun

SECRET = "a-very-secret-value"


class Tool:
    """An action whose behaviour a test writes down: a function of inputs and context."""

    def __init__(self, name: str, run: Any, *, idempotent: bool = False) -> None:  # noqa: ANN401 - a function
        self.spec = ActionSpec(name, name, {"type": "object"}, {}, idempotent=idempotent)
        self.calls: list[Mapping[str, Any]] = []
        self.contexts: list[ActionContext] = []
        self._run = run

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        self.calls.append(inputs)
        self.contexts.append(context)
        found: dict[str, Any] = self._run(inputs, context)
        return found


class Bench:
    """One node's worth of engine, without Git and without a queue: a test advances runs itself."""

    def __init__(self, database: Database, artifacts: ArtifactStore) -> None:
        self.database = database
        self.artifacts = artifacts
        self.actions: dict[str, Action] = dict(installed_actions())
        self.egress: tuple[str, ...] = ()
        self.node: dict[str, Any] = {}
        """Further fields of the node that plans pin: ``providers``, ``models``."""
        self.workers: list[Worker] = []
        self.blueprints: dict[str, dict[str, Any]] = {}
        """What ``blueprints.run`` can start, by id."""
        self.late = dt.timedelta()
        """How far the worker's clock is ahead of the real one."""

    def now(self) -> dt.datetime:
        return utc_now() + self.late

    def emit(self, connection: Connection, events: Sequence[Event]) -> None:
        event_store.insert_told(connection, events, [], now=self.now())

    def unheard(self, events: Sequence[Event]) -> Told:
        return Told(events, [], self.now(), "r1", None)

    def worker(self, name: str = "w1", **options: Any) -> Worker:  # noqa: ANN401 - arguments of Worker
        options = {
            "may_use_secret": lambda *_: None,
            "emit": self.emit,
            "unheard": self.unheard,
            **options,
        }
        worker = Worker(
            database=self.database,
            actions=self.actions,
            artifacts=self.artifacts,
            redactor=Redactor([SECRET]),
            secret=lambda _: None,
            name=name,
            clock=self.now,
            jitter=lambda: 0.0,
            launch=self.launch,
            **options,
        )
        self.workers.append(worker)
        return worker

    def new_run(
        self,
        document: dict[str, Any],
        inputs: dict[str, Any],
        **more: Any,  # noqa: ANN401 - fields of NewRun
    ) -> NewRun:
        document = {"id": "bp.test", **document}
        compiled = compile_run(
            document,
            path="blueprints/test.yaml",
            blob_id=uuid.uuid4().hex,
            files={},
            node=PlanNode(id="seed", env_id="local", stage="dev", egress=self.egress, **self.node),
            event=None,
            given=inputs,
        )
        fields: dict[str, Any] = {
            "run_id": uuid.uuid4(),
            "name": "test",
            "blueprint_id": document["id"],
            "revision": "r1",
            "plan": compiled.plan,
            "plan_digest": compiled.digest,
            "created_at": self.now(),
            "actor": "operator",
            "correlation_id": "c1",
            "inputs": compiled.inputs,
            "error": compiled.error,
            "concurrency_key": compiled.concurrency_key,
        }
        return NewRun(**(fields | more))

    def start(
        self,
        document: dict[str, Any],
        inputs: dict[str, Any] | None = None,
        **more: Any,  # noqa: ANN401 - fields of NewRun
    ) -> uuid.UUID:
        run = self.new_run(document, inputs or {}, **more)
        with self.database.begin() as connection:
            runs.insert_runs(connection, [run])
            if run.error is None:
                dispatch.enqueue(connection, run.run_id)
        return run.run_id

    def wait_for(self, come_true: Callable[[], bool]) -> None:
        """Wait until something is so; half a minute is far more than it takes."""
        until = time.monotonic() + 60
        while not come_true():
            assert time.monotonic() < until, "it did not come true"
            time.sleep(0.02)

    def launch(
        self,
        connection: Connection,
        blueprint_id: str,
        given: Mapping[str, Any],
        *,
        actor: str,  # noqa: ARG002 - as LaunchRun has it
        correlation_id: str,  # noqa: ARG002 - as LaunchRun has it
        run_id: uuid.UUID,
    ) -> uuid.UUID:
        """Start one of ``blueprints``, as intake does."""
        if blueprint_id not in self.blueprints:
            raise NotFoundError(f"no blueprint {blueprint_id!r} is active here")
        run = self.new_run(self.blueprints[blueprint_id], dict(given), run_id=run_id)
        runs.insert_runs(connection, [run])
        dispatch.enqueue(connection, run_id)
        return run_id

    def run(self, document: dict[str, Any], inputs: dict[str, Any] | None = None) -> RunDto:
        """Start a blueprint and take it as far as it goes."""
        run_id = self.start(document, inputs)
        self.worker().advance(run_id)
        return self.shown(run_id)

    def shown(self, run_id: uuid.UUID) -> RunDto:
        with self.database.begin() as connection:
            run = runs.get_run(connection, run_id)
        assert run is not None
        return run

    def steps(self, run_id: uuid.UUID) -> dict[str, StepDto]:
        with self.database.begin() as connection:
            return {step.key: step for step in runs.list_steps(connection, run_id)}

    def told(self, run_id: uuid.UUID) -> list[str]:
        """Names of the events about a run, without their common prefix, in a stable order."""
        with self.database.begin() as connection:
            found = event_store.list_events(connection, limit=200, run_id=run_id)
        return sorted(stored.event.event_name.removeprefix("xyn.") for stored in found)

    def decide(
        self,
        run_id: uuid.UUID,
        key: str,
        decision: Any,  # noqa: ANN401 - also what is no decision
        principal: Principal = OPERATOR,
        **more: Any,  # noqa: ANN401 - arguments of decide_gate
    ) -> bool:
        with self.database.begin() as connection:
            return gate.decide_gate(
                connection,
                run_id=run_id,
                step_id=self.steps(run_id)[key].step_id,
                principal=principal,
                decision=decision,
                now=self.now(),
                emit=self.emit,
                **more,
            )

    def log(self, run_id: uuid.UUID) -> str:
        artifact_id = next(iter(self.steps(run_id).values())).logs_artifact_id
        assert artifact_id is not None
        with self.database.begin() as connection:
            log = artifact_rows.get_artifact(connection, artifact_id)
        assert log is not None
        assert log.sha256 is not None
        with self.artifacts.open(log.sha256) as file:
            return file.read().decode()
