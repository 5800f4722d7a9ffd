"""More deliveries at once than are taken in at a time: they take turns, and none waits for ever."""

import threading

import pytest

from flask_ui import intake
from tests.integration.flask_ui.conftest import Web


def test_a_delivery_that_finds_no_place_is_sent_away_before_its_sender_gives_up(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PLACE_SECONDS", 0.1)
    monkeypatch.setattr(intake, "_AT_WORK", threading.BoundedSemaphore(1))
    client = web.client()

    with intake._a_place():  # noqa: SLF001 - somebody else's delivery, being taken in
        refused = client.post("/hooks/plain", json={"n": 1})
        page = client.get("/ui/events")
    taken = client.post("/hooks/plain", json={"n": 1})

    assert refused.status_code == 503
    assert refused.get_json()["error"]["code"] == "unavailable"
    assert page.status_code == 200
    assert (taken.status_code, taken.get_json()["duplicate"]) == (202, False)
