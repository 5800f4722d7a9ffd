"""What one door refuses, no other gives: artifacts, git, cancel, resolve, pushes that take long."""

import uuid

import pytest

from tests.integration.flask_ui.conftest import Web
from tests.integration.flask_ui.guarded import Guarded, guard
from tests.integration.flask_ui.test_policy_in_force import policy, waiting
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import NeedsApprovalError
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.node_process import pusher
from xyn_reconciler.node.ticket import Tickets
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.service.policy import refuse_going_on
from xyn_reconciler.service.run_events import find_artifact_of_run
from xyn_reconciler.store import artifact_rows
from xyn_reconciler.store.git import MAIN

KEEP = {"name": "plan.json", "kind": "plan", "content_type": "application/json"}


# ── artifacts ────────────────────────────────────────────────────────────────────────────────────


def test_what_somebody_puts_beside_a_step_is_not_what_the_step_kept(empty: Web) -> None:
    guarded = guard(empty, stage="prod")
    client = guarded.client()
    run_id = uuid.UUID(waiting(guarded))
    steps = client.get(f"/api/v1/runs/{run_id}/steps").get_json()["items"]
    step_id = next(step["step_id"] for step in steps if step["key"] == "word")
    own = Artifact(
        artifact_id=new_id(),
        name="plan.json",
        kind="plan",
        content_type="application/json",
        created_at=utc_now(),
        created_by="system",
        run_id=run_id,
        step_id=uuid.UUID(step_id),
    )
    with empty.context.database.begin() as connection:
        artifact_rows.insert_artifact(connection, own)
    beside = client.post(
        "/api/v1/artifacts",
        json={**KEEP, "run_id": str(run_id), "step_id": step_id, "content_base64": "e30="},
        headers=guarded.acting("bot"),
    )
    assert beside.status_code == 201, beside.text

    found = find_artifact_of_run(
        empty.context,
        artifact_id=None,
        run_id=run_id,
        step="word",
        name="plan.json",
        reader=run_id,
    )

    assert found == own.artifact_id


def test_the_bytes_of_an_artifact_are_brought_by_who_announced_it(empty: Web) -> None:
    guarded = guard(empty)
    client = guarded.client()
    ada = guarded.acting("ada")
    made = client.post("/api/v1/artifacts", json=KEEP, headers=ada).get_json()

    by_bot = client.put(made["upload_url"], data=b"{1}", headers=guarded.acting("bot"))
    by_ada = client.put(made["upload_url"], data=b"{}", headers=ada)

    assert by_bot.status_code == 403
    assert "ada announced artifact" in by_bot.text
    assert by_ada.status_code == 200, by_ada.text


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────


def test_who_may_cancel_is_policy_too(empty: Web) -> None:
    guarded = guard(empty, house=policy("deny", "run.cancel", 'actor: ["principal:bot"]'))
    client = guarded.client()
    address = f"/api/v1/runs/{waiting(guarded)}"

    by_bot = client.post(f"{address}/cancel", headers=guarded.acting("bot"))
    still = client.get(address).get_json()
    by_ada = client.post(f"{address}/cancel", headers=guarded.acting("ada"))

    assert (by_bot.status_code, still["status"]) == (403, "waiting")
    assert by_ada.status_code == 200, by_ada.text
    told = [each for each in guarded.told("policy.decided") if each["action"] == "run.cancel"]
    assert [(each["actor"], each["outcome"]) for each in told] == [
        ("ada", "allowed"),
        ("bot", "refused"),
    ]


def test_what_nobody_agreed_on_goes_on_by_nobody_who_needs_an_approval(empty: Web) -> None:
    guard(empty, house=policy("require_approval", "run.start"))
    ada = Principal("ada", roles=frozenset({"Operator"}))

    with empty.context.database.begin() as connection:
        refuse_going_on(empty.context, connection, ada, "bp.demo.greet", agreed=True)
        with pytest.raises(NeedsApprovalError):
            refuse_going_on(empty.context, connection, ada, "bp.demo.greet", agreed=False)


def test_on_prod_an_event_is_forgotten_by_whom_a_rule_names(empty: Web) -> None:
    guarded = guard(empty, stage="prod")
    empty.context.repository.commit_files(
        MAIN,
        expected=empty.context.repository.resolve(MAIN),
        changes={
            "principals.yaml": b"principals:\n  - {id: grace, roles: [OwnerAdmin]}\n"
            b"  - {id: ada, roles: [Operator]}\n  - {id: vera, roles: [User]}\n"
        },
        message="Vera looks on\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    empty.context.reconciler.reconcile()
    client = guarded.client()
    sent = client.post(
        "/api/v1/events", json={"event_name": "disk.full"}, headers=guarded.acting("vera")
    ).get_json()
    address = f"/api/v1/events/{sent['event_id']}/forget"

    assert client.post(address, headers=guarded.acting("vera")).status_code == 403
    assert client.post(address, headers=guarded.acting("ada")).status_code == 200


# ── git ──────────────────────────────────────────────────────────────────────────────────────────


def test_who_may_not_read_records_finds_none_in_git(empty: Web) -> None:
    guarded = guard(empty, house=policy("deny", "records.read", 'actor: ["principal:pager"]'))
    repository = empty.context.repository
    tip = repository.resolve(MAIN)
    assert tip is not None
    repository.update_ref("refs/xyn/runs/seed/2026-11", expected=None, new=tip)
    hidden = repository.write_commit(
        tree=repository.commit(tip).tree,
        parents=[],
        message="Record\n",
        author="Xyn <xyn@localhost>",
        now=utc_now(),
    )
    repository.update_ref("refs/xyn/runs/seed/2026-12", expected=None, new=hidden)

    assert b"refs/xyn/" in refs(guarded, "ada")
    assert b"refs/heads/main" in refs(guarded, "pager")
    assert b"refs/xyn/" not in refs(guarded, "pager")
    assert b"PACK" in wanted(guarded, "ada", hidden)
    assert b"PACK" not in wanted(guarded, "pager", hidden)


def refs(guarded: Guarded, principal: str) -> bytes:
    """What git is told that there is."""
    address = "/git/state.git/info/refs?service=git-upload-pack"
    answer = guarded.client().get(address, headers=guarded.acting(principal))
    return bytes(answer.data)


def wanted(guarded: Guarded, principal: str, commit: str) -> bytes:
    """What git gets that knows the name of a commit, in the version that asks for nothing more."""
    lines = ["command=fetch", "0001", "no-progress", f"want {commit}\n", "done\n"]
    packets = [line if line == "0001" else f"{len(line) + 4:04x}{line}" for line in lines]
    answer = guarded.client().post(
        "/git/state.git/git-upload-pack",
        data="".join([*packets, "0000"]).encode(),
        headers={**guarded.acting(principal), "Git-Protocol": "version=2"},
        content_type="application/x-git-upload-pack-request",
    )
    return bytes(answer.data)


def test_a_push_is_judged_by_what_its_pusher_may_when_it_has_come_in(empty: Web) -> None:
    guard(empty)
    tickets = Tickets.of(Home(empty.context.home), empty.context.clock)
    everything = frozenset({"Operator", "OwnerAdmin"})

    def after(principal: Principal) -> Principal | None:
        return pusher(empty.context, tickets, tickets.issue(principal))

    assert after(Principal("ada", roles=everything)) == Principal(
        "ada", roles=frozenset({"Operator"})
    )
    assert after(Principal("gone", roles=everything)) == Principal("gone", "service")
    assert after(OPERATOR) == Principal("operator")
    assert pusher(empty.context, tickets, "no.ticket") is None
