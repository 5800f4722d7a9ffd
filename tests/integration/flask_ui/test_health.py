"""What is broken while the rest goes on: red for people and programs, and the node stays in."""

import re

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web
from xyn_reconciler.model.condition import Condition, ConditionType
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import desired

NAMED = "object 5ba3dd5c cannot be read"


def say(web: Web, kind: ConditionType, *, status: bool) -> None:
    condition = Condition(kind, status, "Because", NAMED, utc_now())
    with web.context.database.begin() as connection:
        desired.set_condition(connection, condition)


def mark_of(client: FlaskClient, kind: ConditionType) -> str:
    """How the page marks the condition."""
    page = client.get("/ui/health").get_data(as_text=True)
    found = re.search(rf'chip is-(\w+)"(?:(?!chip is-).)*{kind} (?:yes|no)', page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("RecordsBehind", True),
        ("RecordsSetAside", True),
        ("RepositoryDamaged", True),
        ("EventsSetAside", True),
        ("Mirrored", False),
        ("Following", False),
        ("Stalled", True),
        ("SecretsReadable", False),
        ("SecretCaught", True),
        ("AppsRunning", False),
    ],
)
def test_a_trouble_is_said_everywhere_and_the_node_goes_on(
    web: Web, kind: ConditionType, status: bool
) -> None:
    client = web.client()
    say(web, kind, status=status)

    health = client.get("/api/v1/health").get_json()
    shown = client.get("/api/v1/status").get_json()

    assert (health["status"], health["reasons"]) == ("degraded", [NAMED])
    assert (shown["ready"], shown["reasons"]) == (True, [NAMED])
    assert client.get("/readyz").status_code == 200
    for page in ("/ui/health", "/ui/events"):
        text = client.get(page).get_data(as_text=True)
        assert NAMED in text
        assert "degraded" in text
    assert mark_of(client, kind) == "failed"

    say(web, kind, status=not status)

    assert client.get("/api/v1/health").get_json()["reasons"] == []
    assert "degraded" not in client.get("/ui/health").get_data(as_text=True)
    assert mark_of(client, kind) == "completed"
