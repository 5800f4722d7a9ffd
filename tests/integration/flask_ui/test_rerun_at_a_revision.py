"""A run again as main stands by now: blueprint, packs and prompts of there, the node of now."""

import uuid
from collections.abc import Mapping

import pytest
from werkzeug.test import TestResponse

from tests.integration.flask_ui.conftest import BLUEPRINT as GREETING
from tests.integration.flask_ui.conftest import NODE, Web
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.run import ExecutionPlan
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import audit, runs
from xyn_reconciler.store.git import MAIN

BLUEPRINT = b"""\
id: bp.demo.greet
plan:
  - {id: page, kind: action_task, action: pager.page, with: {who: ada}}
"""
PACK = b"""\
id: pager
version: 0.1.0
actions:
  pager.page:
    summary: Page somebody.
    input_schema: {type: object, additionalProperties: false, properties: {who: {type: string}}}
    output_schema: {type: object}
    request: {method: POST, url: "https://pager.example.net/{{ inputs.who }}"}
    outputs: {}
"""
BODY = b"plan:\n  - {id: a, kind: transform, set: {x: 1}}\n"


@pytest.fixture
def ended(web: Web, waiting_run: str) -> str:
    web.client().post(f"/api/v1/runs/{waiting_run}/gates/approve/reject", json={})
    web.work(waiting_run)
    return waiting_run


def commit(web: Web, changes: Mapping[str, bytes], ref: str = MAIN, *, alone: bool = True) -> str:
    """As a push of one commit; one that is not ``alone`` comes with the next."""
    repository = web.context.repository
    made = repository.commit_files(
        ref,
        expected=repository.resolve(ref),
        changes=changes,
        message="Page people\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    if alone:
        entry = {"old": None, "new": made, "how": "push"}
        with web.context.database.begin() as connection:
            moved = AuditEntry(
                kind="ref.accepted", actor="ada", at=utc_now(), subject=ref, entry=entry
            )
            audit.put(connection, [moved])
        web.context.reconciler.reconcile()
    return made


def again(web: Web, run_id: str, revision: str) -> TestResponse:
    return web.client().post(f"/api/v1/runs/{run_id}/rerun", json={"revision": revision})


def plan(web: Web, answer: TestResponse) -> ExecutionPlan:
    assert answer.status_code == 201, answer.data
    with web.context.database.read() as connection:
        return runs.plan_of(connection, uuid.UUID(answer.get_json()["run_id"]))


def test_the_packs_are_those_of_the_revision_and_the_node_is_as_it_is_now(
    web: Web, ended: str
) -> None:
    packs = {"blueprints/greet.yaml": BLUEPRINT, "packs/pager/pack.yaml": PACK}
    paging = commit(web, packs)
    commit(web, {"node.yaml": NODE + b'egress: {allow: ["10.0.0.9:80"]}\n'})

    for revision in ("main", paging):
        made = plan(web, again(web, ended, revision))

        assert [step.action for step in made.steps] == ["pager.page"]
        assert list(made.packs) == ["pager"]
        assert list(made.node.egress) == ["10.0.0.9:80"]


def test_what_was_never_on_main_is_not_run(web: Web, ended: str) -> None:
    repository = web.context.repository
    main = repository.resolve(MAIN)
    assert main is not None
    repository.update_ref("refs/heads/draft/bold", expected=None, new=main)
    draft = commit(web, {"blueprints/greet.yaml": BLUEPRINT}, "refs/heads/draft/bold")

    within = commit(web, {"blueprints/greet.yaml": BLUEPRINT}, alone=False)
    commit(web, {"blueprints/greet.yaml": GREETING})

    for revision in ("draft/bold", draft, within):
        answer = again(web, ended, revision)

        assert answer.status_code == 409
        assert "has to be promoted" in answer.get_json()["error"]["message"]


def test_inputs_are_those_that_the_revision_declares(web: Web, ended: str) -> None:
    declares = b"inputs: {new: {type: integer, default: 3}}\n"
    commit(web, {"blueprints/greet.yaml": b"id: bp.demo.greet\n" + declares + BODY})

    answer = again(web, ended, "main")

    assert answer.status_code == 201, answer.data
    assert answer.get_json()["inputs"] == {"new": 3}


def test_a_revision_that_wants_what_the_run_does_not_have_is_refused(web: Web, ended: str) -> None:
    declares = b"inputs: {ticket: {type: string}}\n"
    commit(web, {"blueprints/greet.yaml": b"id: bp.demo.greet\n" + declares + BODY})

    answer = again(web, ended, "main")

    assert answer.status_code == 422
    assert "ticket" in answer.get_json()["error"]["message"]


def test_the_nodes_limit_of_steps_holds_for_a_revision_too(web: Web, ended: str) -> None:
    commit(web, {"node.yaml": NODE + b"limits: {max_steps: 1}\n"})
    two = b"id: bp.demo.greet\n" + BODY + b"  - {id: b, kind: transform, set: {x: 1}}\n"
    commit(web, {"blueprints/greet.yaml": two})

    answer = again(web, ended, "main")

    assert answer.status_code == 422
    assert "steps" in answer.get_json()["error"]["message"]
