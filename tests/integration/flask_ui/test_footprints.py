"""What a run used up, on the page of its step and over the API."""

import uuid

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web


@pytest.fixture
def asked(web: Web, waiting_run: str) -> str:
    """A run whose step asked a model."""
    with web.context.database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO footprints (run_id, key, metric, source_kind, source_ref, quantity, unit,"
            " class, dims, occurred_at) VALUES (%s, 'word', 'tokens_in', 'agent_task',"
            " 'openai/gpt-5', 12345, 'token', 'llm', '{\"cached\": 2000}', now())",
            (waiting_run,),
        )
    return waiting_run


def test_the_api_lists_what_a_run_used_up(client: FlaskClient, asked: str) -> None:
    items = client.get(f"/api/v1/runs/{asked}/footprints").get_json()["items"]

    (tokens,) = [each for each in items if each["metric"] == "tokens_in"]
    assert (tokens["key"], tokens["quantity"], tokens["unit"]) == ("word", 12345, "token")
    assert (tokens["source_ref"], tokens["dims"]) == ("openai/gpt-5", {"cached": 2000})


def test_the_page_of_a_step_says_what_it_used_up(client: FlaskClient, asked: str) -> None:
    text = client.get(f"/ui/runs/{asked}/steps/word").text

    assert "12,345 token" in text
    assert "cached 2,000" in text
    assert "openai/gpt-5" in text


def test_what_an_unknown_run_used_up_is_not_found(client: FlaskClient) -> None:
    assert client.get(f"/api/v1/runs/{uuid.uuid4()}/footprints").status_code == 404
