"""Packs on a node: pinned in plans, at work in steps, over the API and on pages."""

import json
from collections.abc import Mapping

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import NODE, Web
from xyn_reconciler.model.principal import OPERATOR
from xyn_reconciler.model.run import ExecutionPlan
from xyn_reconciler.model.secret import file_of
from xyn_reconciler.node.home import Home
from xyn_reconciler.pack_kit.skeleton import skeleton
from xyn_reconciler.service.actions import ExecuteRequest, execute
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.age_files import new_key, recipient_of, seal
from xyn_reconciler.store.git import MAIN

ASK = b"""\
id: bp.ask
triggers: [{event_type: ask}]
plan:
  - {id: title, kind: action_task, action: mail.title, with: {host: "{{ event.data.host }}"}}
outputs: {title: "{{ steps.title.outputs.title }}"}
"""
PACK = {f"packs/mail/{path}": text.encode() for path, text in skeleton("mail").items()}


def committed(web: Web, changes: Mapping[str, bytes | None]) -> None:
    """Put files into main and apply them."""
    repository = web.context.repository
    repository.commit_files(
        MAIN,
        expected=repository.resolve(MAIN),
        changes=dict(changes),
        message="Change\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    judgement = web.context.reconciler.reconcile()
    assert judgement is not None
    assert judgement.problems == []


@pytest.fixture
def mail(empty: Web) -> Web:
    """A node with the pack that ``xynctl pack new`` writes, and a blueprint that uses it."""
    committed(empty, {"node.yaml": NODE, "blueprints/ask.yaml": ASK, **PACK})
    return empty


def outputs_of(web: Web, run_id: str) -> object:
    web.work(run_id)
    run = web.client().get(f"/api/v1/runs/{run_id}").get_json()
    assert run["status"] == "completed", run
    return run["outputs"]


def test_a_step_runs_the_program_of_a_pack(mail: Web) -> None:
    run_id = mail.started_by("ask", host="web-1")

    assert outputs_of(mail, run_id) == {"title": "web-1: something is wrong"}


def test_a_run_keeps_the_pack_that_it_started_with_though_main_moves(mail: Web) -> None:
    before = mail.started_by("ask", host="web-1")
    program = PACK["packs/mail/actions/title.py"].replace(b"something is wrong", b"look at it")
    committed(mail, {"packs/mail/actions/title.py": program})
    after = mail.started_by("ask", host="web-1")

    assert outputs_of(mail, after) == {"title": "web-1: look at it"}
    assert outputs_of(mail, before) == {"title": "web-1: something is wrong"}


def test_a_plan_holds_what_its_steps_use_and_one_without_packs_says_nothing_of_them(
    mail: Web,
) -> None:
    hosts = (
        b"web-1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIHp5PQKtnxKwJXl3O7VWvOUxLfhqVMtfvKGNXUNSmQl\n"
    )
    quiet = (
        b"id: bp.q\ntriggers: [{event_type: q}]\nplan: [{id: a, kind: transform, set: {x: 1}}]\n"
    )
    login = (
        b"id: bp.l\ntriggers: [{event_type: l}]\nplan:\n"
        b"  - {id: a, kind: action_task, action: ssh.run, with: {host: web-1, cmd: x}}\n"
    )
    files = {"blueprints/q.yaml": quiet, "blueprints/l.yaml": login, "known_hosts": hosts}
    committed(mail, {**files, "packs/mail/settings.yaml": b"url: http://127.0.0.1:1\n"})

    plans = {}
    for name in ("ask", "q", "l"):
        run_id = mail.started_by(name, host="a")
        plans[name] = plan_of(mail, run_id)

    pack = plans["ask"].packs["mail"]
    assert list(pack.actions) == ["mail.title"]
    assert sorted(pack.files) == ["actions/title.py", "actions/xyn_kit.py"]
    assert pack.settings == {
        "url": "http://127.0.0.1:1",
        "secret_ref": "sys/local/integrations/mail",
    }
    assert plans["l"].known_hosts == hosts.decode()
    assert not {"packs", "known_hosts"} & plans["q"].to_json().keys()


def plan_of(web: Web, run_id: str) -> ExecutionPlan:
    from sqlalchemy import text  # noqa: PLC0415 - a test looks where no verb does

    with web.context.database.connect() as connection:
        found = connection.execute(
            text(
                "SELECT plan FROM plans JOIN runs ON plans.digest = runs.plan_digest"
                " WHERE run_id = :run"
            ),
            {"run": run_id},
        ).scalar_one()
    return ExecutionPlan.model_validate(found)


def test_a_pack_is_listed_and_shown_with_all_that_it_brings(mail: Web) -> None:
    client = mail.client()

    (row,) = client.get("/api/v1/packs").get_json()["items"]
    shown = client.get("/api/v1/packs/mail").get_json()
    missing = client.get("/api/v1/packs/male")

    assert (row["pack_id"], row["version"], row["works_here"]) == ("mail", "0.1.0", True)
    assert [(each["name"], each["body"], each["installed"]) for each in row["actions"]] == [
        ("mail.ticket.open", "request", True),
        ("mail.title", "run", True),
    ]
    assert shown["blueprints"] == ["bp.mail.alert"]
    assert shown["sources"] == ["mail"]
    assert shown["secrets"] == ["sys/local/integrations/mail"]
    assert shown["settings"]["url"] == "http://127.0.0.1:8000"
    assert missing.status_code == 404
    assert "did you mean" in missing.get_json()["error"]["message"]


def test_a_pack_has_a_page_and_goes_from_it_with_its_files(mail: Web) -> None:
    client = mail.client()
    assert 'data-testid="pack-row"' in client.get("/ui/packs").text
    page = client.get("/ui/packs/mail").text
    assert page.count('data-testid="pack-action"') == 2
    assert "sys/local/integrations/mail" in page

    committed(mail, dict.fromkeys(PACK) | {"blueprints/ask.yaml": None})

    assert "xynctl pack new" in client.get("/ui/packs").text
    assert client.get("/ui/packs/mail").status_code == 404


def test_a_pack_for_another_version_is_shown_and_its_actions_run_nowhere(mail: Web) -> None:
    other = PACK["packs/mail/pack.yaml"].replace(b'">=0.1"', b'">=99"')
    committed(mail, {"packs/mail/pack.yaml": other})
    client = mail.client()

    assert "made for Xyn &gt;=99" in client.get("/ui/packs/mail").text
    blueprint = client.get("/api/v1/blueprints/bp.ask").get_json()
    assert [each["message"] for each in blueprint["conditions"]] == [
        "action mail.title is not installed on this node"
    ]


def test_a_hook_of_a_pack_is_verified_with_the_secret_that_its_settings_name(mail: Web) -> None:
    client = mail.client()
    own, other = (secret_of(mail, name) for name in ("mail", "post"))

    def delivered(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return client.post("/hooks/mail", json={"host": "web-1"}, headers=headers).status_code

    unset = sources(client)
    committed(mail, {own: sealed(mail, own, "first-token"), other: sealed(mail, other, "second")})
    before = delivered("first-token"), delivered("second")
    committed(mail, {"packs/mail/settings.yaml": b"secret_ref: sys/local/integrations/post\n"})
    after = delivered("first-token"), delivered("second")

    assert unset == {"mail": (False, ["sys/local/integrations/mail"])}
    assert (before, after) == ((202, 401), (401, 202))
    assert sources(client) == {"mail": (True, [])}


def test_a_secret_that_this_node_cannot_open_shuts_the_hook_and_no_page(mail: Web) -> None:
    client = mail.client()
    shut = secret_of(mail, "mail")
    committed(mail, {shut: sealed(mail, shut, "first-token", recipient=new_key()[1])})

    answer = client.post("/hooks/mail", json={}, headers={"Authorization": "Bearer first-token"})

    assert answer.status_code == 401
    assert sources(client) == {"mail": (False, ["sys/local/integrations/mail"])}
    assert client.get("/ui/health").status_code == 200
    assert client.get("/api/v1/packs/mail").get_json()["missing"] == ["sys/local/integrations/mail"]


def sources(client: FlaskClient) -> dict[str, tuple[bool, list[str]]]:
    found = client.get("/api/v1/sources").get_json()["items"]
    return {each["source_id"]: (each["accepts"], each["unset_secrets"]) for each in found}


def secret_of(web: Web, name: str) -> str:
    """The file of a secret, and the key of this node for it."""
    key = Home(web.context.home).age_key
    if not key.exists():
        key.write_text(new_key()[0])
    return file_of(f"sys/local/integrations/{name}")


def sealed(web: Web, file: str, value: str, *, recipient: str | None = None) -> bytes:
    own = recipient_of(Home(web.context.home).age_key.read_text())
    path = file.removeprefix("secrets/").removesuffix(".age")
    return seal(path, value, [recipient or own], utc_now()).encode()


def test_an_action_is_tried_with_other_settings_and_they_stay_in_its_plan(mail: Web) -> None:
    asked = ExecuteRequest.model_validate(
        {"action": "mail.ticket.open", "with": {"title": "x"}, "wait_seconds": 0}
    )
    settings = {"mail": {"url": "http://127.0.0.1:9", "secret_ref": "env/X"}}

    done = execute(mail.context, OPERATOR, asked, settings=settings, correlation_id="c-1")
    other = execute(mail.context, OPERATOR, asked, correlation_id="c-2")

    assert plan_of(mail, str(done.run_id)).packs["mail"].settings == settings["mail"]
    there = plan_of(mail, str(other.run_id)).packs["mail"].settings
    assert there["url"] == "http://127.0.0.1:8000"


BAD = "<img src=x onerror=alert(1)>\"'"
STRANGE = {
    "id": "strange",
    "name": BAD,
    "description": BAD,
    "version": "0.1.0",
    "settings": {
        "type": "object",
        "title": BAD,
        "properties": {
            "text": {"type": "string", "title": BAD, "description": BAD, "default": BAD},
            "choice": {"enum": [BAD, "</option><script>alert(1)</script>"]},
            "many": {"type": "array", "items": {"type": "string"}, "default": [BAD]},
            "token_ref": {"type": "string", "title": BAD},
        },
    },
    "actions": {
        "strange.look": {
            "summary": BAD,
            "input_schema": {"type": "object", "description": BAD},
            "output_schema": {"type": "object"},
            "request": {"url": "http://127.0.0.1:9/"},
            "errors": [{"status": [404], "code": "gone", "message": BAD}],
        }
    },
    "smoke": {"action": "strange.look", "with": {BAD: BAD}},
}


def test_nothing_that_a_pack_says_of_itself_reaches_a_page_as_markup(empty: Web) -> None:
    committed(
        empty,
        {
            "node.yaml": NODE,
            "packs/strange/pack.yaml": json.dumps(STRANGE).encode(),
            "packs/strange/settings.yaml": json.dumps({"text": BAD, "many": [BAD]}).encode(),
            "packs/strange/examples/a.yaml": b"action: strange.look\nexpect: {}\n",
        },
    )
    client = empty.client()
    wrong = {"field.text": BAD, "field.choice": BAD, "field.token_ref": BAD, "notes": BAD}
    pages = {
        path: client.get(path).get_data(as_text=True)
        for path in ("/ui/packs", "/ui/packs/strange", "/ui/packs/strange/settings")
    }
    pages["saved"] = client.post("/ui/packs/strange/settings", data=wrong).get_data(as_text=True)

    for path, text in pages.items():
        assert "&lt;img src=x" in text, path
        assert "<img src=x" not in text, path
        assert "<script>alert" not in text, path
        assert 'onerror=alert(1)>"' not in text, path
