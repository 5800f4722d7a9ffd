"""What came of an event, and what triggers wait for: in the API and on the pages."""

import re
import uuid

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web
from xyn_reconciler.model.internal_events import ReconcileFailed, internal_event
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.git import MAIN

CRITICAL = b"""\
id: bp.demo.critical
triggers:
  - event_type: demo.alert
    match: {data.state: CRIT}
plan: [{id: note, kind: transform, set: {x: 1}}]
"""
CALM = b"""\
id: bp.demo.calm
triggers:
  - event_type: demo.alert
    dedupe: {key: "{{ event.data.host }}", window: 10m}
plan: [{id: note, kind: transform, set: {x: 1}}]
"""
NIGHTLY = b"""\
id: bp.demo.nightly
triggers:
  - schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
  - schedule: {cron: "0 0 29 2 *"}
plan: [{id: note, kind: transform, set: {x: 1}}]
"""
SIGNED = b"""\
id: signed
verify: {scheme: bearer, secret_refs: [env/SIGNED_TOKEN]}
event_type: signed.note
data: "{{ body }}"
"""


@pytest.fixture
def triggers(web: Web) -> Web:
    """A node that waits for alerts and for the clock, and has a source without its secret."""
    web.context.repository.commit_files(
        MAIN,
        expected=web.context.repository.resolve(MAIN),
        changes={
            "blueprints/critical.yaml": CRITICAL,
            "blueprints/calm.yaml": CALM,
            "blueprints/nightly.yaml": NIGHTLY,
            "sources/signed.yaml": SIGNED,
        },
        message="Wait for alerts\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    judgement = web.context.reconciler.reconcile()
    assert judgement is not None
    assert list(judgement.problems) == []
    return web


def _alert(client: FlaskClient) -> str:
    body = {"event_name": "demo.alert", "data": {"host": "db1", "state": "<OK>"}}
    return str(client.post("/api/v1/events", json=body).get_json()["event_id"])


def _page(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def test_an_event_is_explained_at_every_blueprint(triggers: Web) -> None:
    client = triggers.client()
    first, again = _alert(client), _alert(client)

    started = client.get(f"/api/v1/events/{first}/explain").get_json()
    told = client.get(f"/api/v1/events/{again}/explain").get_json()

    (run,) = client.get(f"/api/v1/runs?event_id={first}").get_json()["items"]
    assert (started["items"][0]["outcome"], started["items"][0]["run_id"]) == (
        "started",
        run["run_id"],
    )
    assert [(each["blueprint_id"], each["outcome"]) for each in told["items"]] == [
        ("bp.demo.calm", "suppressed"),
        ("bp.demo.critical", "not_matched"),
        ("bp.demo.greet", "not_matched"),
        ("bp.demo.nightly", "not_matched"),
    ]
    missed = told["items"][1]
    assert (missed["condition"], missed["expected"], missed["found"]) == (
        "match.data.state",
        "CRIT",
        "<OK>",
    )


def test_an_event_that_is_not_there_has_no_explanation(client: FlaskClient) -> None:
    assert client.get(f"/api/v1/events/{uuid.UUID(int=0)}/explain").status_code == 404


def test_the_events_page_says_what_came_of_it_and_folds_what_never_could(triggers: Web) -> None:
    client = triggers.client()
    _alert(client)

    text = _page(client, f"/ui/events/{_alert(client)}")

    outcomes = re.findall(r'data-testid="outcome-([\w.]+)" data-outcome="(\w+)"', text)
    assert outcomes[:2] == [("bp.demo.calm", "suppressed"), ("bp.demo.critical", "not_matched")]
    assert 'data-testid="outcome-run"' in text
    assert "wants <code>CRIT</code>, found <code>&lt;OK&gt;</code>" in text
    shown, _, folded = text.partition('data-testid="other-blueprints"')
    assert "outcome-bp.demo.greet" in folded
    assert "outcome-bp.demo.greet" not in shown


def test_an_event_that_nobody_waits_for_says_so(client: FlaskClient) -> None:
    event = client.post("/api/v1/events", json={"event_name": "demo.unheard"}).get_json()

    assert 'data-testid="nothing-came"' in _page(client, f"/ui/events/{event['event_id']}")


def test_schedules_have_their_next_five_times(triggers: Web) -> None:
    found = triggers.client().get("/api/v1/schedules").get_json()["items"]

    assert [(each["blueprint_id"], each["trigger"], each["live"]) for each in found] == [
        ("bp.demo.nightly", 0, True),
        ("bp.demo.nightly", 1, True),
    ]
    assert [len(each["next_times"]) for each in found] == [5, 5]


def test_a_blueprint_shows_its_next_times_on_the_clock_of_their_zone(triggers: Web) -> None:
    text = _page(triggers.client(), "/ui/blueprints/bp.demo.nightly")

    times = re.findall(r'data-testid="next-time"><time datetime="[^"]+" title="[^"]+">(.*?)<', text)
    assert len(times) == 10
    assert all(re.fullmatch(r"\w{3} [\d-]{10} 0[23]:\d\d CES?T", each) for each in times[:5])
    assert re.search(r'<td class="num">in \d+ (s|min|h)</td>', text)


def test_a_blueprint_without_schedule_has_no_such_part(client: FlaskClient) -> None:
    assert 'data-testid="schedules"' not in _page(client, "/ui/blueprints/bp.demo.greet")


def test_sources_say_which_secrets_they_wait_for(triggers: Web) -> None:
    found = triggers.client().get("/api/v1/sources").get_json()["items"]

    assert [(each["source_id"], each["accepts"], each["unset_secrets"]) for each in found] == [
        ("plain", True, []),
        ("signed", False, ["env/SIGNED_TOKEN"]),
    ]


def test_health_lists_sources_and_the_backlog(triggers: Web) -> None:
    client = triggers.client()
    _alert(client)

    text = _page(client, "/ui/health")

    assert 'data-testid="source-plain" data-accepts="yes"' in text
    signed = text.partition('data-testid="source-signed" data-accepts="no"')[2]
    assert "env/SIGNED_TOKEN" in signed
    assert 'data-testid="backlog-waiting">1<' in text
    assert client.get("/api/v1/backlog").get_json()["waiting"] == 1


def _limit(web: Web, limits: str) -> None:
    repository = web.context.repository
    tip = repository.resolve(MAIN)
    assert tip is not None
    node = repository.read_path(tip, "node.yaml")
    assert node is not None
    kept = [line for line in node.decode().splitlines() if not line.startswith("limits:")]
    repository.commit_files(
        MAIN,
        expected=tip,
        changes={"node.yaml": "\n".join([*kept, f"limits: {limits}", ""]).encode()},
        message="Limit the backlog\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    judgement = web.context.reconciler.reconcile()
    assert judgement is not None
    assert list(judgement.problems) == []


def test_console_and_health_say_whose_starts_step_back(triggers: Web) -> None:
    _limit(triggers, "{backlog_runs: 1}")
    client = triggers.client()
    for host in ("db1", "db2"):
        client.post("/api/v1/events", json={"event_name": "demo.alert", "data": {"host": host}})

    console, health = _page(client, "/ui/events"), _page(client, "/ui/health")

    assert "bp.demo.calm" in console.partition('data-testid="slowed"')[2].partition("</p>")[0]
    assert 'data-testid="slowed-bp.demo.calm"' in health
    assert 'data-testid="backlog-waiting">2</span> of at most 1 runs' in health


def test_without_a_backlog_the_console_says_nothing_of_it(triggers: Web) -> None:
    _alert(triggers.client())

    assert 'data-testid="slowed"' not in _page(triggers.client(), "/ui/events")


def test_without_room_for_more_bytes_senders_get_429_and_are_listed_by_source(
    triggers: Web,
) -> None:
    _limit(triggers, "{backlog_max: 1B}")
    client = triggers.client()

    delivered = client.post("/hooks/plain", json={"note": "n"})
    emitted = client.post("/api/v1/events", json={"event_name": "demo.alert"})
    backlog = client.get("/api/v1/backlog").get_json()

    assert [each.status_code for each in (delivered, emitted)] == [429, 429]
    assert [each.headers["Retry-After"] for each in (delivered, emitted)] == ["30", "30"]
    assert delivered.get_json()["error"]["code"] == "intake_full"
    assert backlog["refused"] == {"plain": 1, "api": 1}
    assert backlog["limit_bytes"] == 1
    refused = _page(client, "/ui/health").partition('data-testid="refused"')[2]
    assert "1 of <code>plain</code>" in refused
    assert "1 of <code>api</code>" in refused


def test_the_console_marks_failures_and_says_what_the_mark_means(web: Web) -> None:
    failed = internal_event(
        ReconcileFailed(revision="a" * 40, reason="invalid", problems=[]),
        resource_id="a" * 40,
        env_id="local",
        now=utc_now(),
        correlation_id="c",
    )
    with web.context.database.begin() as connection:
        web.context.intake.emit(connection, [failed])
    client = web.client()

    text = _page(client, "/ui/events?all=1")

    head, _, listed = text.partition('id="event-list"')
    assert f'href="/ui/events/{failed.event_id}" data-testid="failure-event"' in head
    marked = re.findall(r'<tr id="e([\w-]+)" [^>]*class="is-failure"', listed)
    assert marked == [str(failed.event_id)]
    assert "<code>xyn.infra.*.failed</code>" in listed.partition('data-testid="failure-legend"')[2]
    assert 'data-testid="failure-mark"' in _page(client, f"/ui/events/{failed.event_id}")
