"""What a running step says, on its page and over the API."""

import uuid

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.store import live_log


@pytest.fixture
def running(web: Web, waiting_run: str) -> str:
    """A run that a worker holds, with something that one of its steps says."""
    (step, *_) = web.client().get(f"/api/v1/runs/{waiting_run}/steps").get_json()["items"]
    with web.context.database.begin() as connection:
        (attempt,) = connection.exec_driver_sql(
            "UPDATE runs SET leased_by = 'w', leased_until = now() + interval '1 hour'"
            " WHERE run_id = %s RETURNING attempt",
            (waiting_run,),
        ).one()
        said = live_log.LiveText(
            attempt_id=new_id(), run_id=uuid.UUID(waiting_run), run_attempt=attempt,
            step_id=uuid.UUID(step["step_id"]), item_index=None, number=1, start=7,
            text="<b>50 %</b>\n",
        )  # fmt: skip
        live_log.keep(connection, [said])
    return waiting_run


def test_the_api_gives_what_a_step_says_and_how_much_came_before(
    client: FlaskClient, running: str
) -> None:
    answer = client.get(f"/api/v1/runs/{running}/steps/word/live").get_json()

    (said,) = answer["items"]
    assert (said["start"], said["text"], said["number"]) == (7, "<b>50 %</b>\n", 1)


def test_the_page_of_a_step_and_its_part_show_it_as_text(client: FlaskClient, running: str) -> None:
    for address in ("word", "word/_live", "word/_step"):
        text = client.get(f"/ui/runs/{running}/steps/{address}").text

        assert "&lt;b&gt;50 %&lt;/b&gt;" in text
        assert "[7 characters before]" in text


def test_a_step_whose_run_nobody_holds_says_nothing(
    web: Web, client: FlaskClient, running: str
) -> None:
    with web.context.database.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET leased_by = NULL, leased_until = NULL")

    answer = client.get(f"/api/v1/runs/{running}/steps/word/live").get_json()

    assert answer["items"] == []


def test_an_unknown_run_is_not_found(client: FlaskClient) -> None:
    assert client.get(f"/api/v1/runs/{uuid.uuid4()}/steps/word/live").status_code == 404
