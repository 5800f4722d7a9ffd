"""What the rules allow, refuse and ask for, at every door; and what no rule can allow."""

import re
import uuid

import pytest

from tests.integration.flask_ui.conftest import Web
from tests.integration.flask_ui.guarded import Guarded, guard
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.model.secret import SecretUse
from xyn_reconciler.service.policy import use_secret

RUN = {"blueprint_ref": "bp.demo.greet", "inputs": {"who": "Ada"}}


def policy(effect: str, action: str, *more: str) -> bytes:
    """A policy of one rule that comes before those of the template."""
    lines = [
        "policy_id: 0c6a0c52-0f6b-4f0b-9b61-6f1f0c7b5a99",
        "policy_type: governance",
        "name: House rule",
        "status: active",
        "rules:",
        "  - rule_id: 5a1f7b0e-6a53-4b8e-8a2f-0f1f1f0b2c99",
        "    priority: 1000",
        f"    match: {{action: {action}{', '.join(['', *more])}}}",
        f"    effect: {effect}",
    ]
    if effect == "require_approval":
        asked = '{min: 1, from_any_of: ["role:OwnerAdmin"], allow_self: false}'
        lines.append(f"    requirements: {{approvals: {asked}}}")
    return "\n".join(lines).encode()


def waiting(guarded: Guarded, actor: str = "ada") -> str:
    run = guarded.client().post("/api/v1/runs", json=RUN, headers=guarded.acting(actor))
    assert run.status_code == 201, run.text
    run_id = str(run.get_json()["run_id"])
    guarded.web.work(run_id)
    return run_id


# ── the kernel ───────────────────────────────────────────────────────────────────────────────────


def test_an_agent_forgets_no_event(empty: Web) -> None:
    guarded = guard(empty)
    client = guarded.client()
    event = {"event_name": "disk.full", "data": {"host": "web-1"}}
    sent = client.post("/api/v1/events", json=event, headers=guarded.acting("bot")).get_json()
    address = f"/api/v1/events/{sent['event_id']}"

    refused = client.post(f"{address}/forget", headers=guarded.acting("bot"))

    assert refused.status_code == 403
    assert "event.forget is for people" in refused.text
    assert client.get(address).get_json()["data"] == event["data"]


@pytest.mark.parametrize("principal", ["bot", "pager"])
def test_no_service_and_no_agent_approves_a_gate_by_any_door(empty: Web, principal: str) -> None:
    """The template lets roles Operator and OwnerAdmin do everything here, and both have them."""
    guarded = guard(empty)
    run_id = waiting(guarded)
    headers, client = guarded.acting(principal), guarded.client()

    by_api = client.post(f"/api/v1/runs/{run_id}/gates/approve/approve", headers=headers)
    client.post("/ui/login", data={"token": headers["Authorization"].partition(" ")[2]})
    by_page = client.post(f"/ui/runs/{run_id}/gates/approve", data={"decision": "approve"})

    for answer in (by_api, by_page):
        assert answer.status_code == 403
        assert "no policy can allow a service or an agent to approve" in answer.text
    assert guarded.told("gate.approved") == []
    told = guarded.told("policy.decided")[0]
    assert (told["decided_by"], told["outcome"], told["actor"]) == ("kernel", "refused", principal)
    gate = client.get(f"/api/v1/runs/{run_id}/gates/approve").get_json()
    assert gate["decision"] is None


# ── gates ────────────────────────────────────────────────────────────────────────────────────────


def test_an_approval_is_told_with_what_it_let_through(empty: Web) -> None:
    guarded = guard(empty)
    run_id = waiting(guarded)
    gate = guarded.client().get(f"/api/v1/runs/{run_id}/gates/approve").get_json()

    answer = guarded.client().post(
        f"/api/v1/runs/{run_id}/gates/approve/approve", headers=guarded.acting("ada")
    )

    assert answer.status_code == 200, answer.text
    (told,) = guarded.told("gate.approved")
    assert (told["actor"], told["subject"], told["step"]) == ("ada", run_id, "approve")
    assert told["effect_digest"] == gate["effect_digest"]
    decided = guarded.told("policy.decided")[0]
    assert (decided["action"], decided["outcome"]) == ("gate.approve", "allowed")
    assert decided["rule_id"] == "5a1f7b0e-6a53-4b8e-8a2f-0f1f1f0b2c01"
    assert decided["run_id"] == run_id


def test_a_rule_that_denies_approving_says_so_and_rejecting_stays_open(empty: Web) -> None:
    guarded = guard(empty, house=policy("deny", "gate.approve"))
    run_id = waiting(guarded)
    client, headers = guarded.client(), guarded.acting("ada")

    refused = client.post(f"/api/v1/runs/{run_id}/gates/approve/approve", headers=headers)
    rejected = client.post(f"/api/v1/runs/{run_id}/gates/approve/reject", headers=headers)

    assert refused.status_code == 403
    error = refused.get_json()["error"]
    assert error["code"] == "denied"
    assert "House rule" in error["message"]
    assert error["details"]["policy"]["rule_id"] == "5a1f7b0e-6a53-4b8e-8a2f-0f1f1f0b2c99"
    assert rejected.status_code == 200
    assert guarded.told("gate.rejected")[0]["actor"] == "ada"


# ── starting runs ────────────────────────────────────────────────────────────────────────────────


def test_a_rule_that_denies_starting_keeps_people_and_reruns_out(empty: Web) -> None:
    guarded = guard(empty, house=policy("deny", "run.start", 'actor: ["principal:ada"]'))
    client = guarded.client()

    refused = client.post("/api/v1/runs", json=RUN, headers=guarded.acting("ada"))
    run_id = waiting(guarded, "grace")
    client.post(f"/api/v1/runs/{run_id}/cancel", headers=guarded.acting("grace"))
    guarded.web.work(run_id)
    again = client.post(f"/api/v1/runs/{run_id}/rerun", json={}, headers=guarded.acting("ada"))

    for answer in (refused, again):
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "denied")
    told = [each for each in guarded.told("policy.decided") if each["outcome"] == "refused"]
    assert [(each["action"], each["actor"]) for each in told] == [("run.start", "ada")] * 2
    assert len(client.get("/api/v1/runs").get_json()["items"]) == 1


def test_where_approval_is_asked_a_run_waits_at_a_gate_before_its_first_step(empty: Web) -> None:
    guarded = guard(empty, house=policy("require_approval", "run.start"))
    client = guarded.client()
    run_id = waiting(guarded)

    steps = client.get(f"/api/v1/runs/{run_id}/steps").get_json()["items"]
    own = client.post(
        f"/api/v1/runs/{run_id}/gates/xyn_start/approve", headers=guarded.acting("ada")
    )
    by_grace = client.post(
        f"/api/v1/runs/{run_id}/gates/xyn_start/approve", headers=guarded.acting("grace")
    )
    guarded.web.work(run_id)

    assert [(step["key"], step["status"]) for step in steps] == [
        ("xyn_start", "waiting"),
        ("word", "created"),
        ("approve", "created"),
        ("say", "created"),
    ]
    assert own.status_code == 403
    assert by_grace.status_code == 200, by_grace.text
    after = client.get(f"/api/v1/runs/{run_id}/steps").get_json()["items"]
    assert [step["status"] for step in after] == ["completed", "completed", "waiting", "created"]


def test_an_event_that_may_start_nothing_is_kept_and_says_why(empty: Web) -> None:
    guarded = guard(
        empty,
        stage="prod",
        house=policy("deny", "run.start", "stage: prod", 'actor: ["principal:pager"]'),
    )
    client, headers = guarded.client(), guarded.acting("pager")
    body = {"event_name": "demo.hello", "data": {"who": "x"}}

    event = client.post("/api/v1/events", json=body, headers=headers).get_json()

    runs = client.get(f"/api/v1/runs?event_id={event['event_id']}").get_json()["items"]
    assert runs == []
    explained = client.get(f"/api/v1/events/{event['event_id']}/explain").get_json()["items"]
    (told,) = [each for each in explained if each["blueprint_id"] == "bp.demo.greet"]
    assert (told["outcome"], told["condition"]) == ("held", "policy")
    assert "House rule" in told["reason"]
    (decided,) = guarded.told("policy.decided")
    assert (decided["action"], decided["outcome"]) == ("run.start", "refused")


def test_an_event_whose_run_needs_approval_makes_one_that_waits(empty: Web) -> None:
    guarded = guard(empty, stage="prod", house=policy("require_approval", "run.start"))
    client = guarded.client()
    body = {"event_name": "demo.hello", "data": {"who": "x"}}

    event = client.post("/api/v1/events", json=body, headers=guarded.acting("pager")).get_json()

    (run,) = client.get(f"/api/v1/runs?event_id={event['event_id']}").get_json()["items"]
    guarded.web.work(run["run_id"])
    gate = client.get(f"/api/v1/runs/{run['run_id']}/gates/xyn_start").get_json()
    assert gate["from_any_of"] == ["role:OwnerAdmin"]
    assert gate["decision"] is None


@pytest.mark.parametrize(("stage", "kept"), [("dev", 0), ("prod", 1)])
def test_a_start_by_an_event_is_told_on_prod_alone(empty: Web, stage: str, kept: int) -> None:
    guarded = guard(empty, stage=stage)
    body = {"event_name": "demo.hello", "data": {"who": "x"}}

    guarded.client().post("/api/v1/events", json=body, headers=guarded.acting("ada"))

    assert len(guarded.told("policy.decided")) == kept


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("stage", "rule", "allowed"),
    [("prod", None, True), ("prod", "deny", False), ("dev", "deny", False), ("dev", None, True)],
)
def test_a_secret_is_used_by_whom_the_rules_let_and_each_use_is_told(
    empty: Web, stage: str, rule: str | None, allowed: bool
) -> None:
    house = None if rule is None else policy(rule, "secret.use")
    guarded = guard(empty, stage=stage, house=house)
    use = use_secret(empty.context)
    wanted = SecretUse(
        reference="env/KEY",
        actor="pager",
        by_hand=True,
        run_id=uuid.uuid4(),
        step="call",
        action="http.call",
        attempt=1,
    )

    if allowed:
        use(wanted)
    else:
        with pytest.raises(PermanentError) as refused:
            use(wanted)
        assert refused.value.failure_code == "denied"

    told = guarded.told("policy.decided")
    assert [each["outcome"] for each in told] == (
        [] if stage == "dev" and allowed else ["allowed" if allowed else "refused"]
    )
    assert all(each["resource_id"] == "env/KEY" for each in told)
    assert guarded.told("secret.used") == [
        {
            "kind": "secret.used",
            "actor": "pager",
            "subject": "env/KEY",
            "run_id": str(wanted.run_id),
            "step": "call",
            "action": "http.call",
            "attempt": 1,
            "outcome": "granted" if allowed else "refused",
        }
    ]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "paths"),
    [
        ("records.read", ["/api/v1/runs", "/ui/events", "/api/v1/gates", "/ui/artifacts"]),
        (
            "state.read",
            [
                "/api/v1/blueprints",
                "/ui/blueprints",
                "/git/state.git/info/refs?service=git-upload-pack",
            ],
        ),
    ],
)
def test_who_may_read_is_policy_too(empty: Web, action: str, paths: list[str]) -> None:
    guarded = guard(empty, house=policy("deny", action, 'actor: ["principal:pager"]'))
    client = guarded.client()
    pager, ada = guarded.acting("pager"), guarded.acting("ada")

    for path in paths:
        assert client.get(path, headers=pager).status_code == 403, path
        assert client.get(path, headers=ada).status_code == 200, path
    assert client.get("/api/v1/health", headers=pager).status_code == 200
    assert guarded.told("policy.decided") == []


# ── eval ─────────────────────────────────────────────────────────────────────────────────────────


def test_eval_says_what_decided_and_why_the_others_did_not(empty: Web) -> None:
    guarded = guard(empty)
    asked = {"actor": "ada", "action": "blueprint.promote", "stage": "prod", "risk": "high"}

    answer = (
        guarded.client()
        .post("/api/v1/policy/eval", json=asked, headers=guarded.acting("ada"))
        .get_json()
    )

    assert (answer["outcome"], answer["rule_id"][-2:]) == ("needs_approval", "05")
    assert any("role:OwnerAdmin" in line for line in answer["unmet"])
    assert any("tests" in line for line in answer["unmet"])
    rules = {
        rule["rule_id"][-2:]: rule for policy in answer["policies"] for rule in policy["rules"]
    }
    assert rules["01"]["why"] == "stage is prod, not dev"
    assert rules["03"]["why"] == "action is blueprint.promote, not policy.change"
    assert rules["05"]["fits"]
    page = guarded.client().get("/ui/policy", query_string=asked).text
    assert "needs approval" in page
    assert "stage is prod, not dev" in page
    assert guarded.told("policy.decided") == []


def test_eval_knows_nobody_who_is_not_there(empty: Web) -> None:
    guarded = guard(empty)

    answer = guarded.client().post(
        "/api/v1/policy/eval",
        json={"actor": "nobody", "action": "x"},
        headers=guarded.acting("ada"),
    )

    assert answer.status_code == 404
    assert "ada, bot, grace, pager" in answer.get_json()["error"]["message"]


# ── break-glass ──────────────────────────────────────────────────────────────────────────────────


def test_the_owner_breaks_the_glass_and_everybody_sees_it_until_another_signs_it_off(
    empty: Web,
) -> None:
    guarded = guard(empty)
    client, owner = guarded.client(), guarded.owner()
    asked = {"actor": "operator", "action": "policy.change"}

    for somebody in ("ada", "grace", "bot"):
        refused = client.post(
            "/api/v1/policy/break-glass", json={"reason": "x"}, headers=guarded.acting(somebody)
        )
        assert refused.status_code == 403
    grant = client.post(
        "/api/v1/policy/break-glass", json={"reason": "Everybody is away"}, headers=owner
    ).get_json()

    run_id = waiting(guarded)
    opened = client.post(f"/api/v1/runs/{run_id}/gates/approve/approve", headers=owner)
    assert opened.status_code == 200, opened.text
    for page in ("/ui/events", "/ui/policy", "/ui/health", "/ui/runs"):
        assert "Everybody is away" in client.get(page).text, page
    sign_off = f"/api/v1/policy/break-glass/{grant['grant_id']}/sign-off"
    for headers in (owner, guarded.acting("bot"), guarded.acting("pager")):
        assert client.post(sign_off, headers=headers).status_code == 403
    assert "Everybody is away" in client.get("/ui/events").text

    client.post("/ui/login", data={"token": guarded.token("grace")})
    assert "sign-off" in client.get("/ui/events").text
    client.post(f"/ui/policy/break-glass/{grant['grant_id']}/sign-off", data={"": ""})

    assert "Everybody is away" not in client.get("/ui/events").text
    assert client.post(sign_off, headers=guarded.acting("ada")).status_code == 409
    told = guarded.told("break_glass.opened", "break_glass.signed_off")
    assert [(each["kind"], each["actor"]) for each in told] == [
        ("break_glass.signed_off", "grace"),
        ("break_glass.opened", "operator"),
    ]
    assert asked["actor"] == told[1]["principal"]


def test_an_open_glass_allows_what_a_rule_denies_and_is_named_in_the_audit(empty: Web) -> None:
    guarded = guard(empty, house=policy("deny", "gate.approve"))
    client, owner = guarded.client(), guarded.owner()
    run_id = waiting(guarded)
    approve = f"/api/v1/runs/{run_id}/gates/approve/approve"

    before = client.post(approve, headers=owner)
    grant = client.post(
        "/api/v1/policy/break-glass", json={"reason": "x"}, headers=owner
    ).get_json()
    after = client.post(approve, headers=owner)

    assert (before.status_code, after.status_code) == (403, 200)
    told = guarded.told("policy.decided")
    assert (told[0]["outcome"], told[0]["grant_id"]) == ("allowed", grant["grant_id"])
    assert told[0]["effect"] == "deny"


def test_a_gates_page_says_what_it_waits_for_and_why_a_button_is_disabled(empty: Web) -> None:
    guarded = guard(empty, house=policy("deny", "gate.approve"))
    client, run_id = guarded.client(), waiting(guarded)

    def shown_to(principal: str) -> str:
        page = client.get(f"/ui/runs/{run_id}", headers=guarded.acting(principal))
        assert page.status_code == 200, page.text
        return page.text

    ada, grace, bot = (shown_to(principal) for principal in ("ada", "grace", "bot"))

    assert "1 more of role:Operator has to approve" in ada
    assert re.search(r'data-testid="gate-approve" disabled', ada)
    assert not re.search(r'data-testid="gate-reject" disabled', ada)
    assert "gate.approve by ada on dev is denied" in ada
    assert "asks role:Operator, and grace is none of them" in grace
    assert re.search(r'data-testid="gate-reject" disabled', grace)
    assert "asks people, and bot is no person but of kind agent" in bot


def test_a_gates_page_asks_whoever_is_not_signed_in_to_sign_in(empty: Web) -> None:
    guarded = guard(empty)
    run_id = waiting(guarded)

    text = guarded.client().get(f"/ui/runs/{run_id}").get_data(as_text=True)

    (why,) = re.findall(r'data-testid="gate-why-not">(.*?)</p>', text)
    assert f'href="/ui/login?next=/ui/runs/{run_id}"' in why
    assert "to decide" in why
