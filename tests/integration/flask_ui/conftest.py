"""A node's web application over real stores; what happens on it, the loops' own code does."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient

from flask_ui.app import create_app
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.node.context import open_context
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.ticket import ensure_key
from xyn_reconciler.run.worker import Worker
from xyn_reconciler.service.context import Context, utc_now
from xyn_reconciler.service.policy import use_secret
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository

NODE = b"""\
id: seed
env_id: local
mode: active
stage: dev
auth: open
"""
BLUEPRINT = b"""\
id: bp.demo.greet
name: Greet somebody
description: Says hello, once a person agrees.
triggers:
  - event_type: demo.hello
inputs:
  who: {type: string, from: "{{ event.data.who }}", description: Whom to greet}
  times: {type: integer, default: 1}
  tone: {enum: [kind, short], default: kind}
plan:
  - id: word
    kind: transform
    set: {text: "Hello {{ inputs.who }}"}
  - id: approve
    kind: gate
    mode: manual
  - id: say
    kind: transform
    set: {said: "{{ steps.word.outputs.text }}"}
outputs: {said: "{{ steps.say.outputs.said }}"}
"""
SOURCE = b"""\
id: plain
verify: {scheme: none}
event_type: plain.note
data: "{{ body }}"
"""


@dataclass(frozen=True, slots=True)
class Web:
    """The application, and hands to make things happen behind it."""

    context: Context
    app: flask.Flask

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def work(self, run_id: uuid.UUID | str) -> None:
        """Take a run as far as it goes, as a worker process does."""
        worker = Worker(
            database=self.context.database,
            actions=installed_actions(),
            artifacts=self.context.artifacts,
            emit=self.context.intake.emit,
            unheard=self.context.intake.unheard,
            redactor=self.context.redactor,
            secret=self.context.secret,
            may_use_secret=use_secret(self.context),
            name="test",
        )
        with closing(worker):
            worker.advance(uuid.UUID(str(run_id)))

    def started_by(self, event_name: str, **data: object) -> str:
        """Emit an event and give the id of the run that it started."""
        client = self.client()
        event = client.post("/api/v1/events", json={"event_name": event_name, "data": data})
        runs = client.get(f"/api/v1/runs?event_id={event.get_json()['event_id']}")
        (run,) = runs.get_json()["items"]
        return str(run["run_id"])


@pytest.fixture
def empty(database_url: str, home: Path) -> Iterator[Web]:
    """A node on which nothing was applied yet."""
    place = Home(home)
    place.create()
    ensure_key(place)
    Repository.create(place.repository)
    with Database(database_url) as database, database.begin() as connection:
        desired.ensure_node(connection, "seed")
    with open_context(home, database_url, "http://127.0.0.1:8080", {}) as context:
        yield Web(context, create_app(context))


@pytest.fixture
def web(empty: Web) -> Web:
    """A node with the greeting blueprint active at the tip of main."""
    empty.context.repository.commit_files(
        MAIN,
        expected=None,
        changes={
            "node.yaml": NODE,
            "blueprints/greet.yaml": BLUEPRINT,
            "sources/plain.yaml": SOURCE,
        },
        message="Greet people\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    judgement = empty.context.reconciler.reconcile()
    assert judgement is not None
    return empty


@pytest.fixture
def client(web: Web) -> FlaskClient:
    return web.client()


@pytest.fixture
def waiting_run(web: Web) -> str:
    """A run that an event started and that waits at its gate."""
    run_id = web.started_by("demo.hello", who="Ada")
    web.work(run_id)
    return run_id
