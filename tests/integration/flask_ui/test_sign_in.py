"""Who acts: tokens, sessions, and everybody who is somebody else."""

import datetime as dt
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from flask_ui.access import Access
from flask_ui.app import create_app
from tests.integration.flask_ui.conftest import Web
from tests.integration.flask_ui.guarded import NODE, Guarded, basic, bearer, guard
from xyn_reconciler.policy.rules import OWNER
from xyn_reconciler.service import identity
from xyn_reconciler.store.credentials import Credentials

RUN = {"blueprint_ref": "bp.demo.greet", "inputs": {"who": "Ada"}}


@pytest.fixture
def guarded(empty: Web) -> Guarded:
    return guard(empty)


@pytest.mark.parametrize(
    ("method", "path", "scheme"),
    [
        ("POST", "/api/v1/events", "Bearer"),
        ("POST", "/api/v1/runs", "Bearer"),
        ("POST", "/api/v1/tokens", "Bearer"),
        ("GET", "/git/state.git/info/refs?service=git-receive-pack", "Basic"),
        ("POST", "/git/state.git/git-receive-pack", "Basic"),
    ],
)
def test_where_a_token_is_required_nobody_changes_anything_without_one(
    guarded: Guarded, method: str, path: str, scheme: str
) -> None:
    answer = guarded.client().open(path, method=method, json={"event_name": "demo.x"})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith(scheme)
    assert answer.get_json()["error"]["code"] == "unauthorized"


def test_a_page_that_changes_something_shows_where_to_sign_in(guarded: Guarded) -> None:
    answer = guarded.client().post("/ui/runs", data={"blueprint": "bp.demo.greet"})

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/ui/login"


def test_from_elsewhere_even_a_look_needs_a_token(guarded: Guarded) -> None:
    client = guarded.client()
    elsewhere = {"X-Forwarded-For": "198.51.100.7"}

    page = client.get("/ui/runs?status=failed", headers=elsewhere)
    part = client.get("/ui/runs/_list", headers={**elsewhere, "HX-Request": "true"})

    assert client.get("/api/v1/runs", headers=elsewhere).status_code == 401
    assert page.headers["Location"] == "/ui/login?next=/ui/runs?status%3Dfailed"
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/ui/login")
    assert client.get("/api/v1/runs").status_code == 200
    assert client.get("/ui/runs").status_code == 200
    for headers in (guarded.acting("ada"),):
        assert client.get("/api/v1/runs", headers={**elsewhere, **headers}).status_code == 200


def test_probes_webhooks_and_the_way_to_sign_in_ask_nobody(guarded: Guarded) -> None:
    client = guarded.client()

    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.get("/ui/login").status_code == 200
    assert client.get("/static/app.css", buffered=True).status_code == 200
    assert client.post("/hooks/plain", json={"x": 1}).status_code == 202


def test_the_run_is_in_the_name_of_whose_token_it_is(guarded: Guarded) -> None:
    client = guarded.client()

    run = client.post("/api/v1/runs", json=RUN, headers=guarded.acting("ada"))

    assert run.status_code == 201, run.text
    story = client.get(f"/api/v1/events?run_id={run.get_json()['run_id']}").get_json()["items"]
    assert {event["actor"] for event in story} == {"ada"}


@pytest.mark.parametrize("kind", ["revoked", "expired", "forged", "gone", "of another home"])
@pytest.mark.parametrize("auth", ["open", "required"])
def test_a_token_that_proves_nothing_is_refused_and_never_overlooked(
    empty: Web, tmp_path: Path, kind: str, auth: str
) -> None:
    guarded = guard(empty, auth=auth)
    client, context = guarded.client(), empty.context
    match kind:
        case "revoked":
            token = guarded.token("ada")
            identity.revoke_token(context, OWNER, token.split("_")[1])
        case "expired":
            before = context.clock()
            text, _ = context.credentials.create_token(
                "ada", now=before - dt.timedelta(days=2), expires_at=before - dt.timedelta(days=1)
            )
            token = text
        case "forged":
            token = guarded.token("ada")[:-4] + "0000"
        case "gone":
            token, _ = context.credentials.create_token(
                "gone", now=context.clock(), expires_at=None
            )
        case _:
            other = Credentials(tmp_path / "other")
            (tmp_path / "other").mkdir()
            token, _ = other.create_token("ada", now=context.clock(), expires_at=None)

    for headers in (bearer(token), basic("ada", token)):
        answer = client.post("/api/v1/runs", json=RUN, headers=headers)
        assert answer.status_code == 401, answer.text
        assert "expired, was revoked" in answer.get_json()["error"]["message"]


def test_git_is_asked_for_an_id_and_its_own_token(guarded: Guarded) -> None:
    client, token = guarded.client(), guarded.token("ada")
    path = "/git/state.git/info/refs?service=git-receive-pack"

    assert client.get(path, headers=basic("ada", token)).status_code == 200
    as_another = client.get(path, headers=basic("grace", token))
    assert as_another.status_code == 401
    assert "not grace's" in as_another.get_json()["error"]["message"]
    assert client.get(path.replace("receive", "upload")).status_code == 200


def test_the_owner_is_proved_by_a_file_of_the_home_and_has_no_role(guarded: Guarded) -> None:
    client, headers = guarded.client(), guarded.owner()
    file = guarded.web.context.home / "run" / "owner.token"

    made = client.post("/api/v1/tokens", json={"principal": "ada"}, headers=headers)
    asked = {"actor": "operator", "action": "policy.change"}
    said = client.post("/api/v1/policy/eval", json=asked, headers=headers).get_json()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.status_code == 201, made.text
    assert said["outcome"] == "refused"
    before = bearer(file.read_text())
    guarded.web.context.credentials.renew_owner_token()
    assert client.get("/api/v1/tokens", headers=before).status_code == 401


def test_nobody_but_the_owner_makes_sees_or_revokes_tokens(guarded: Guarded) -> None:
    client = guarded.client()

    for somebody in ("ada", "grace", "bot", "pager"):
        headers = guarded.acting(somebody)
        made = client.post("/api/v1/tokens", json={"principal": "grace"}, headers=headers)
        listed = client.get("/api/v1/tokens", headers=headers)
        revoked = client.delete("/api/v1/tokens/abc", headers=headers)
        assert [made.status_code, listed.status_code, revoked.status_code] == [403, 403, 403]
        assert made.get_json()["error"]["code"] == "denied"


@pytest.mark.parametrize("principal", ["nobody", "operator", "anonymous", "system"])
def test_no_token_stands_for_somebody_who_is_not_in_principals_yaml(
    guarded: Guarded, principal: str
) -> None:
    answer = guarded.client().post(
        "/api/v1/tokens", json={"principal": principal}, headers=guarded.owner()
    )

    assert answer.status_code in (404, 422)
    assert guarded.told("token.created") == []


def test_tokens_leave_their_trace_in_the_audit_and_never_their_text(guarded: Guarded) -> None:
    client, headers = guarded.client(), guarded.owner()
    asked = {"principal": "ada", "expires": "30d"}
    made = client.post("/api/v1/tokens", json=asked, headers=headers).get_json()

    revoked = client.delete(f"/api/v1/tokens/{made['token_id']}", headers=headers).get_json()

    assert (revoked["holds"], revoked["principal"]) == (False, "ada")
    told = guarded.told("token.created", "token.revoked")
    assert [(each["kind"], each["actor"], each["subject"]) for each in told] == [
        ("token.revoked", "operator", "ada"),
        ("token.created", "operator", "ada"),
    ]
    assert made["token"].rpartition("_")[2] not in str(told)
    listed = client.get("/api/v1/tokens", headers=headers).text
    assert made["token"].rpartition("_")[2] not in listed


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


def test_signing_in_gives_a_cookie_that_no_script_and_no_other_site_has(guarded: Guarded) -> None:
    client = guarded.client()

    answer = client.post(
        "/ui/login", data={"token": guarded.token("ada"), "next": "/ui/runs?status=failed"}
    )

    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/runs?status=failed")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert ">ada<" in client.get("/ui/runs").text
    started = client.post("/ui/runs", data={"blueprint": "bp.demo.greet", "input.who": "x"})
    assert started.headers["Location"].startswith("/ui/runs/")
    assert guarded.told("session.opened")[0]["subject"] == "ada"


def test_over_https_the_cookie_goes_over_https_alone(guarded: Guarded) -> None:
    context = replace(guarded.web.context, url="https://xyn.example")
    client = create_app(context, access=Access(frozenset({"xyn.example"}))).test_client()

    answer = client.post(
        "/ui/login", data={"token": guarded.token("ada")}, headers={"Host": "xyn.example"}
    )

    assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example/ui/",
        "/\\evil.example",
        "/ui/\\evil",
        "javascript:alert(1)",
        "/ui/x\r\nSet-Cookie: a=b",
        "/git/state.git",
        "",
    ],
)
def test_after_signing_in_one_is_on_a_page_of_ours(guarded: Guarded, following: str) -> None:
    answer = guarded.client().post(
        "/ui/login", data={"token": guarded.token("ada"), "next": following}
    )

    assert answer.headers["Location"] == "/ui/events"


def test_a_session_that_was_there_before_is_not_taken_over(guarded: Guarded) -> None:
    """An attacker who plants a cookie must not get the session that its victim opens."""
    client = guarded.client()
    planted, _ = identity.open_session(guarded.web.context, guarded.token("pager"))
    client.set_cookie("xyn_session", planted)

    client.post("/ui/login", data={"token": guarded.token("ada")})

    own = client.get_cookie("xyn_session")
    assert own is not None
    assert own.value != planted
    other = guarded.client()
    other.set_cookie("xyn_session", planted)
    assert ">pager<" in other.get("/ui/runs").text


@pytest.mark.parametrize("cookie", ["", "x", "abc.def", "0123456789ab." + "0" * 64])
def test_a_forged_cookie_is_nobody(guarded: Guarded, cookie: str) -> None:
    client = guarded.client()
    client.set_cookie("xyn_session", cookie)

    assert client.post("/api/v1/runs", json=RUN).status_code == 401
    assert "not signed in" in client.get("/ui/runs").text


def test_a_stolen_session_ends_with_the_token_that_opened_it(guarded: Guarded) -> None:
    client, token = guarded.client(), guarded.token("ada")
    client.post("/ui/login", data={"token": token})
    assert client.post("/api/v1/runs", json=RUN).status_code == 201

    client_of_owner = guarded.client()
    client_of_owner.delete(f"/api/v1/tokens/{token.split('_')[1]}", headers=guarded.owner())

    assert client.post("/api/v1/runs", json=RUN).status_code == 401


def test_a_session_ends_when_its_time_is_over(guarded: Guarded) -> None:
    text, session = identity.open_session(guarded.web.context, guarded.token("ada"))
    later = replace(guarded.web.context, clock=lambda: session.expires_at)

    assert identity.principal_of_session(guarded.web.context, text) is not None
    assert identity.principal_of_session(later, text) is None


def test_signing_out_ends_the_session_and_not_only_the_cookie(guarded: Guarded) -> None:
    client = guarded.client()
    client.post("/ui/login", data={"token": guarded.token("ada")})
    kept = client.get_cookie("xyn_session")
    assert kept is not None

    answer = client.post("/ui/logout", data={"": ""})

    assert answer.status_code == 303
    assert client.get_cookie("xyn_session") is None
    client.set_cookie("xyn_session", kept.value)
    assert client.post("/api/v1/runs", json=RUN).status_code == 401
    assert client.get("/ui/logout").status_code == 405
    assert guarded.told("session.closed")[0]["actor"] == "ada"


def test_one_ends_a_session_of_ones_own_and_nobody_elses(guarded: Guarded) -> None:
    client = guarded.client()
    _, other = identity.open_session(guarded.web.context, guarded.token("grace"))
    client.post("/ui/login", data={"token": guarded.token("ada")})

    page = client.get("/ui/sessions").text
    refused = client.post(f"/ui/sessions/{other.session_id}/revoke", data={"": ""})
    mine = client.get("/api/v1/sessions").get_json()["items"]

    assert refused.status_code == 404
    assert [each["principal"] for each in mine] == ["ada"]
    assert other.session_id not in page
    client.post(f"/ui/sessions/{mine[0]['session_id']}/revoke", data={"": ""})
    assert "not signed in" in client.get("/ui/runs").text


@pytest.mark.parametrize("path", ["/ui/login", "/ui/logout", "/ui/runs", "/api/v1/tokens"])
def test_another_site_neither_signs_in_nor_acts_with_a_session(guarded: Guarded, path: str) -> None:
    client = guarded.client()
    client.post("/ui/login", data={"token": guarded.token("ada")})

    answer = client.post(path, data={"token": "x"}, headers={"Origin": "http://evil.example"})

    assert answer.status_code == 403
    assert client.post("/api/v1/runs", json=RUN).status_code == 201


def test_a_wrong_token_opens_nothing_and_is_not_shown_again(guarded: Guarded) -> None:
    answer = guarded.client().post("/ui/login", data={"token": "xyn_nobody_knows", "next": "/ui/x"})

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert "xyn_nobody_knows" not in answer.text


# ── open nodes, and those that others can reach ──────────────────────────────────────────────────


def test_an_open_node_says_that_it_asks_nobody_and_takes_a_token_all_the_same(empty: Web) -> None:
    guarded = guard(empty, auth="open")
    client = guarded.client()

    assert "operator (auth is open)" in client.get("/ui/runs").text
    assert client.post("/api/v1/runs", json=RUN).status_code == 201
    by_bot = client.post("/api/v1/runs", json=RUN, headers=guarded.acting("bot"))
    story = client.get(f"/api/v1/events?run_id={by_bot.get_json()['run_id']}").get_json()["items"]
    assert {event["actor"] for event in story} == {"bot"}


def test_beyond_loopback_a_principals_token_admits_and_the_nodes_says_nothing_of_who(
    guarded: Guarded,
) -> None:
    access = Access(frozenset({"192.0.2.1"}), token="t" * 16)
    client = create_app(guarded.web.context, access=access).test_client()
    host = {"Host": "192.0.2.1", "X-Forwarded-For": "198.51.100.7"}

    by_ada = client.post("/api/v1/runs", json=RUN, headers={**host, **guarded.acting("ada")})
    exposed = client.get("/api/v1/runs", headers={**host, **bearer("t" * 16)})

    assert by_ada.status_code == 201
    assert exposed.status_code == 401


def test_a_principal_who_is_taken_out_can_do_nothing_more(guarded: Guarded) -> None:
    headers = guarded.acting("ada")
    context = guarded.web.context
    tip = context.repository.resolve("refs/heads/main")
    context.repository.commit_files(
        "refs/heads/main",
        expected=tip,
        changes={"principals.yaml": b"principals:\n  - {id: grace, roles: [OwnerAdmin]}\n"},
        message="Ada leaves\n",
        author="Grace <grace@example.net>",
        now=context.clock(),
    )
    assert guarded.client().get("/api/v1/runs", headers=headers).status_code == 200
    context.reconciler.reconcile()

    assert guarded.client().post("/api/v1/runs", json=RUN, headers=headers).status_code == 401


def test_what_asks_for_tokens_since_a_moment_takes_no_push_without(empty: Web) -> None:
    web = guard(empty, auth="open").web
    advertised = "/git/state.git/info/refs?service=git-receive-pack"
    assert web.client().get(advertised).status_code == 200
    repository = web.context.repository
    repository.commit_files(
        "refs/heads/main",
        expected=repository.resolve("refs/heads/main"),
        changes={"node.yaml": NODE.format(stage="dev", auth="required").encode()},
        message="Ask for tokens\n",
        author="Grace <grace@example.net>",
        now=web.context.clock(),
    )
    web.context.reconciler.reconcile()

    assert web.client().get(advertised).status_code == 401
    assert web.client().post("/api/v1/runs", json=RUN).status_code == 401
