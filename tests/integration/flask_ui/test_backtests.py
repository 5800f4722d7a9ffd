"""Backtests and blueprint tests over the API."""

import json
import threading
import uuid

import pytest

from tests.integration.flask_ui.conftest import BLUEPRINT, Web
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.git import MAIN

LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture
def lived(web: Web) -> Web:
    """A node that recorded an event and its run, which waits at a gate."""
    answer = web.client().post(
        "/api/v1/events", json={"event_name": "demo.hello", "data": {"who": "Ada"}}
    )
    assert answer.status_code == 201
    (run,) = web.client().get("/api/v1/runs").get_json()["items"]
    web.work(run["run_id"])
    committer = Committer(
        web.context.database,
        web.context.repository,
        artifacts=web.context.artifacts,
        node_id="seed",
        redactor=web.context.redactor,
        clock=utc_now,
    )
    while committer.drain_once():
        pass
    return web


def branch(web: Web, name: str, text: bytes) -> str:
    repository = web.context.repository
    main = repository.resolve(MAIN)
    repository.update_ref(f"refs/heads/{name}", expected=None, new=main)
    return repository.commit_files(
        f"refs/heads/{name}",
        expected=main,
        changes={"blueprints/greet.yaml": text},
        message="Change\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )


def test_a_branch_is_held_against_what_was_recorded(lived: Web) -> None:
    head = branch(lived, "louder", BLUEPRINT.replace(b"Hello {{", b"HELLO {{"))

    answer = lived.client().post(
        "/api/v1/drafts/louder/backtest", json={"blueprint": "bp.demo.greet"}
    )

    assert answer.status_code == 200
    found = answer.get_json()
    assert (found["head"], found["draft_id"]) == (head, None)
    assert found["report"]["counts"]["changed"] == 1
    (row,) = found["report"]["rows"]
    assert 'step word: output text: "Hello Ada" -> "HELLO Ada"' in row["differences"]


def test_a_backtest_is_told_of_line_by_line(lived: Web) -> None:
    branch(lived, "louder", BLUEPRINT)

    answer = lived.client().post("/api/v1/drafts/louder/backtest", json={}, headers=LINES)

    *told, last = [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]
    assert told[0] == {"progress": 0}
    assert last["result"]["report"]["counts"]["same"] >= 1


def test_an_error_of_a_told_backtest_is_its_last_line(lived: Web) -> None:
    answer = lived.client().post("/api/v1/drafts/nothing/backtest", json={}, headers=LINES)

    (last,) = [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]
    assert (last["error"]["code"], last["status"]) == ("draft_not_found", 404)


def test_who_hangs_up_leaves_nothing_at_work(lived: Web) -> None:
    branch(lived, "louder", BLUEPRINT)
    answer = lived.client().post("/api/v1/drafts/louder/backtest", json={}, headers=LINES)

    next(answer.iter_encoded())
    answer.close()

    for each in threading.enumerate():
        if each.name == "backtest":
            each.join(10)
            assert not each.is_alive()


def test_tests_of_a_revision_are_run_and_a_run_becomes_one(lived: Web) -> None:
    (run,) = lived.client().get("/api/v1/runs").get_json()["items"]

    made = lived.client().get(f"/api/v1/runs/{run['run_id']}/test")
    none = lived.client().get("/api/v1/tests?revision=main").get_json()
    missing = lived.client().get("/api/v1/tests?revision=nothing")

    assert made.status_code == 200
    assert made.get_json()["failures"] == []
    assert "approve: waiting" in made.get_json()["text"]
    assert (none["passed"], none["results"]) == (True, [])
    assert missing.status_code == 404
    assert lived.client().get(f"/api/v1/runs/{uuid.uuid4()}/test").status_code == 404
