import re
import uuid

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web


def _page(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def test_the_front_door_leads_to_the_events(client: FlaskClient) -> None:
    answer = client.get("/")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/ui/events")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/ui/events", "xynctl event emit"),
        ("/ui/runs", "xynctl event emit"),
        ("/ui/runs/new", "git clone"),
        ("/ui/artifacts", "curl"),
        ("/ui/blueprints", "git clone"),
    ],
)
def test_an_empty_page_names_the_next_command(empty: Web, path: str, names: str) -> None:
    text = _page(empty.client(), path)

    assert 'data-testid="empty"' in text
    assert names in text


def test_own_events_come_first_and_the_platforms_on_demand(web: Web, waiting_run: str) -> None:
    client = web.client()

    own, everything = _page(client, "/ui/events"), _page(client, "/ui/events?all=1")

    assert "demo.hello" in own
    assert "xyn.event.received" not in own
    assert "xyn.event.received" in everything


def test_the_head_says_what_waits_for_a_person(web: Web, waiting_run: str) -> None:
    text = _page(web.client(), "/ui/events")

    assert f'href="/ui/runs/{waiting_run}" data-testid="waiting-gate"' in text
    assert "who: Ada" in text
    assert "in sync at" in text


def test_the_head_names_a_run_that_was_interrupted_and_none_that_goes_on_by_itself(
    web: Web, waiting_run: str
) -> None:
    for reason, named in (("interrupted", True), ("poison", True), ("retry", False)):
        with web.context.database.begin() as connection:
            connection.exec_driver_sql("UPDATE runs SET wait_reason = %s", (reason,))

        text = _page(web.client(), "/ui/events")

        assert (f'href="/ui/runs/{waiting_run}"' in text) is named, reason
        assert ("is-interrupted" in text) is named, reason


def test_a_row_of_a_run_says_with_what_it_runs_and_its_blueprint_where_that_differs(
    web: Web, waiting_run: str
) -> None:
    client = web.client()
    everything = _page(client, "/ui/runs")
    alone = _page(client, "/ui/blueprints/bp.demo.greet")

    assert "who: Ada" in everything
    assert "who: Ada" in alone
    assert '<th class="side">Blueprint</th>' in everything
    assert '<th class="side">Blueprint</th>' not in alone


def test_a_text_is_read_on_its_page_and_no_other_bytes_are(client: FlaskClient) -> None:
    def shown(content: bytes, content_type: str) -> str:
        asked = {"name": "a", "content_type": content_type}
        made = client.post("/api/v1/artifacts", json=asked).get_json()
        assert client.put(made["upload_url"], data=content).status_code == 200
        return _page(client, f"/ui/artifacts/{made['artifact_id']}")

    text = shown(b"it was <b>full</b>", "text/plain")
    assert "it was &lt;b&gt;full&lt;/b&gt;" in text
    assert "Cut here" not in text
    assert "Cut here" in shown(b"x" * 40_000, "text/plain")
    assert "artifact-text" not in shown(b"it was full", "application/octet-stream")
    assert "artifact-text" not in shown(b"x" * 1_100_000, "text/plain")


@pytest.mark.parametrize(
    ("page", "part"),
    [
        ("/ui/events", "/ui/events/stream"),
        ("/ui/events", "/ui/events/_list"),
        ("/ui/runs", "/ui/runs/_list"),
        ("/ui/artifacts", "/ui/artifacts/_list"),
        ("/ui/runs/{run}", "/ui/runs/{run}/_status"),
    ],
)
def test_a_page_and_its_part_are_one_template(
    client: FlaskClient, waiting_run: str, page: str, part: str
) -> None:
    whole = _page(client, page.format(run=waiting_run))
    fragment = _page(client, part.format(run=waiting_run))

    assert "<html" not in fragment
    ids = re.findall(r' id="([^"]+)"', fragment)
    assert ids
    assert set(ids) <= set(re.findall(r' id="([^"]+)"', whole))


def test_a_run_is_started_with_its_form(web: Web) -> None:
    client = web.client()
    form = _page(client, "/ui/runs/new?blueprint=bp.demo.greet")
    assert 'name="input.who"' in form

    answer = client.post(
        "/ui/runs", data={"blueprint": "bp.demo.greet", "input.who": "Ada", "input.times": "2"}
    )

    assert answer.status_code == 303
    run = client.get(f"/api/v1{answer.headers['Location'].removeprefix('/ui')}").get_json()
    assert run["inputs"] == {"who": "Ada", "times": 2, "tone": "kind"}


def test_what_does_not_fit_is_said_at_its_field_and_nothing_starts(client: FlaskClient) -> None:
    answer = client.post(
        "/ui/runs", data={"blueprint": "bp.demo.greet", "input.who": "", "input.times": "many"}
    )

    text = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert 'data-testid="error-who"' in text
    assert 'data-testid="error-times"' in text
    assert 'value="many"' in text
    assert client.get("/api/v1/runs").get_json()["items"] == []


def test_a_blueprint_that_is_not_there_cannot_be_started(client: FlaskClient) -> None:
    answer = client.post("/ui/runs", data={"blueprint": "bp.none"})

    assert answer.status_code == 404
    assert 'data-testid="form-error"' in answer.get_data(as_text=True)


@pytest.mark.parametrize(("decision", "status"), [("approve", "completed"), ("reject", "failed")])
def test_a_gate_is_decided_with_its_form(
    web: Web, waiting_run: str, decision: str, status: str
) -> None:
    client = web.client()
    text = _page(client, f"/ui/runs/{waiting_run}")
    assert "Hello Ada" in text
    found = re.search(r'name="effect_digest" value="([0-9a-f]{64})"', text)
    step = re.search(rf"/ui/runs/{waiting_run}/gates/([0-9a-f-]+)", text)
    assert found
    assert step

    answer = client.post(
        step[0], data={"decision": decision, "comment": "seen", "effect_digest": found[1]}
    )
    web.work(waiting_run)

    assert answer.status_code == 303
    after = _page(client, f"/ui/runs/{waiting_run}")
    assert f'data-status="{status}"' in after
    assert "seen" in after
    assert 'data-testid="gate-approve"' not in after


def test_an_approval_of_something_else_is_refused_on_the_page(
    client: FlaskClient, waiting_run: str
) -> None:
    answer = client.post(
        f"/ui/runs/{waiting_run}/gates/approve",
        data={"decision": "approve", "comment": "kept", "effect_digest": "0" * 64},
    )

    text = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert 'data-testid="run-error"' in text
    assert "kept</textarea>" in text


def test_a_run_polls_until_it_has_ended(web: Web, waiting_run: str) -> None:
    client = web.client()
    assert "every 1s" in _page(client, f"/ui/runs/{waiting_run}/_status")

    client.post(f"/ui/runs/{waiting_run}/cancel", data={"x": "y"})
    web.work(waiting_run)

    ended = _page(client, f"/ui/runs/{waiting_run}/_status")
    assert 'data-status="cancelled"' in ended
    assert "hx-trigger" not in ended


def test_a_step_has_a_page_of_its_own(client: FlaskClient, waiting_run: str) -> None:
    text = _page(client, f"/ui/runs/{waiting_run}/steps/word")

    assert 'data-testid="step-name"' in text
    assert "Hello Ada" in text


def test_an_event_shows_its_runs_and_its_bytes(client: FlaskClient, waiting_run: str) -> None:
    event_id = client.get(f"/api/v1/runs/{waiting_run}").get_json()["event_id"]

    text = _page(client, f"/ui/events/{event_id}")

    assert f"/ui/runs/{waiting_run}" in text
    assert 'data-testid="event-raw"' in text


def test_a_blueprint_shows_its_source_as_written_and_its_history(client: FlaskClient) -> None:
    text = _page(client, "/ui/blueprints/bp.demo.greet")

    assert "{type: integer, default: 1}" in text
    assert "Greet people" in text
    assert 'data-testid="start-run"' in text


def test_health_says_what_is_true_here(client: FlaskClient) -> None:
    text = _page(client, "/ui/health")

    assert "seed, environment local" in text
    assert 'data-testid="conditions"' in text


def test_artifacts_of_a_run_are_a_part_of_their_own(client: FlaskClient, waiting_run: str) -> None:
    client.post(
        "/api/v1/artifacts",
        json={"name": "report.txt", "content_base64": "YQ==", "run_id": waiting_run},
    )

    part = _page(client, f"/ui/runs/{waiting_run}/artifacts")

    assert "report.txt" in part
    assert "<html" not in part


def test_older_events_are_a_page_away(client: FlaskClient) -> None:
    for number in range(51):
        client.post("/api/v1/events", json={"event_name": "demo.note", "data": {"n": number}})

    first = _page(client, "/ui/events")
    older = re.search(r'href="(/ui/events\?cursor=[\w-]+)" data-testid="older"', first)
    assert older
    second = _page(client, older[1])

    assert "n: 50" in first
    assert "n: 0" in second
    assert "every 2s" not in second


@pytest.mark.parametrize("path", ["/ui/nothing", f"/ui/runs/{uuid.UUID(int=0)}"])
def test_a_page_that_is_not_there_is_said_in_style(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    text = answer.get_data(as_text=True)
    assert answer.status_code == 404
    assert 'data-testid="error"' in text
    assert "app.css" in text


def test_no_page_has_script_or_style_of_its_own(client: FlaskClient, waiting_run: str) -> None:
    for path in ("/ui/events", f"/ui/runs/{waiting_run}", "/ui/runs/new", "/ui/health"):
        text = _page(client, path)
        assert not re.findall(r"<style|<script(?! src=)| style=| on\w+=", text), path
