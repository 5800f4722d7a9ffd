"""The pack alertmanager against a real Alertmanager."""

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.alertmanager import alertmanager
from tests.integration.packs.conftest import Does
from tests.neighbours import confinement
from tests.running import PLAIN
from xyn_reconciler.model.errors import StepError


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as found:
        yield found


def alert(url: str, **labels: str) -> None:
    httpx2.post(f"{url}/api/v2/alerts", json=[{"labels": labels}], **PLAIN).raise_for_status()


def names(found: dict[str, Any]) -> set[str]:
    return {each["labels"]["instance"] for each in found["alerts"]}


def test_a_silence_holds_its_alerts_until_it_is_ended(does: Does, url: str) -> None:
    confinement()
    for instance in ("web-1", "web-2", "db-1"):
        alert(url, alertname="DiskFull", instance=instance)
    given: dict[str, Any] = {
        "labels": {"alertname": "DiskFull"},
        "matchers": [{"name": "instance", "value": "web-.*", "isRegex": True}],
        "minutes": 30,
        "comment": "New disks",
    }
    run, settings = uuid.uuid4(), {"url": url}

    made = does("alertmanager.silence.create", settings, run_id=run, **given)
    again = does("alertmanager.silence.create", settings, run_id=run, **given)
    loud = does("alertmanager.alerts.list", settings, silenced=False)
    of_one = does("alertmanager.alerts.list", settings, filter=['instance="web-2"'])
    (silence,) = does("alertmanager.silence.list", settings)["silences"]
    does("alertmanager.silence.expire", settings, id=made["id"])
    after = does("alertmanager.alerts.list", settings, silenced=False)

    assert (made["created"], again["created"]) == (True, False)
    assert made["id"] == again["id"] == silence["id"]
    start, end = (dt.datetime.fromisoformat(silence[key]) for key in ("startsAt", "endsAt"))
    assert abs(end - start - dt.timedelta(minutes=30)) < dt.timedelta(minutes=1)
    assert names(loud) == {"db-1"}
    assert names(of_one) == {"web-2"}
    assert names(after) == {"web-1", "web-2", "db-1"}
    # A silence that has ended is no reason not to make it anew.
    assert does("alertmanager.silence.create", settings, run_id=run, **given)["created"] is True


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("silence.create", {"comment": "c"}, "no_matchers"),
        ("silence.create", {"comment": "c", "labels": {"not a name!": ""}}, "refused"),
        ("silence.create", {"comment": "c", "labels": {"a": "b"}, "end": "soon"}, "bad_time"),
        ("silence.expire", {"id": "72d4c4a4-8a0f-4b1e-9d1a-0f6d0d6ad3a0"}, "silence_not_found"),
        ("silence.list", {"filter": ["no matcher"]}, "refused"),
        ("alerts.list", {"filter": ["no matcher"]}, "refused"),
    ],
)
def test_what_alertmanager_refuses_is_told_by_its_code(
    does: Does, url: str, name: str, given: dict[str, Any], code: str
) -> None:
    confinement()
    with pytest.raises(StepError) as caught:
        does(f"alertmanager.{name}", {"url": url}, **given)

    assert caught.value.failure_code == code
