"""The pack checkmk against a site that speaks Checkmk's REST API."""

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checkmk_site import Site, checkmk_site
from tests.integration.packs.conftest import Does
from tests.neighbours import confinement
from xyn_reconciler.model.errors import StepError, TemporaryError

REF = "sys/local/integrations/checkmk"


@pytest.fixture
def site() -> Iterator[Site]:
    with checkmk_site() as found:
        yield found


def ask(does: Does, site: Site, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return does(f"checkmk.{name}", {"url": site.url}, {REF: f"{site.user} {site.secret}"}, **more)


def refusal(does: Does, site: Site, name: str, **more: Any) -> StepError:  # noqa: ANN401 - any JSON
    with pytest.raises(StepError) as caught:
        ask(does, site, name, **more)
    return caught.value


def test_problems_of_hosts_and_services_are_acknowledged(does: Does, site: Site) -> None:
    ask(does, site, "ack", host="db-1", comment="Ada looks")
    ask(does, site, "ack", host="web-1", service="CPU load", comment="Grace looks", sticky=False)

    host, service = site.acknowledged
    assert (host["host_name"], host["comment"], host["sticky"]) == ("db-1", "Ada looks", True)
    assert (service["service_description"], service["sticky"]) == ("CPU load", False)
    (down,) = ask(does, site, "host.query", query={"op": "=", "left": "state", "right": "1"})[
        "hosts"
    ]
    assert (down["name"], down["acknowledged"]) == ("db-1", 1)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"host": "web-1"}, "no_problem"),
        ({"host": "web-1", "service": "Memory"}, "no_problem"),
        ({"host": "web-1", "service": "Nothing"}, "service_not_found"),
        ({"host": "nowhere"}, "host_not_found"),
    ],
)
def test_what_cannot_be_acknowledged_is_told_by_its_code(
    does: Does, site: Site, given: dict[str, str], code: str
) -> None:
    assert refusal(does, site, "ack", comment="Ada looks", **given).failure_code == code
    assert site.acknowledged == []


def test_a_wrong_secret_and_a_missing_right_are_told_apart(does: Does, site: Site) -> None:
    secret, site.secret = site.secret, "another"
    with pytest.raises(StepError) as caught:
        does("checkmk.host.query", {"url": site.url}, {REF: f"{site.user} {secret}"})
    site.may = False

    assert caught.value.failure_code == "not_authorized"
    assert refusal(does, site, "ack", host="db-1", comment="c").failure_code == "forbidden"


def test_a_downtime_is_set_once_however_often_its_step_runs(does: Does, site: Site) -> None:
    confinement()
    given: dict[str, Any] = {"host": "web-1", "minutes": 30, "comment": "New disk"}
    run = uuid.uuid4()

    first = ask(does, site, "downtime.set", run_id=run, **given)
    again = ask(does, site, "downtime.set", run_id=run, **given)
    other = ask(does, site, "downtime.set", **given)

    assert (first["created"], again["created"], other["created"]) == (True, False, True)
    assert len(site.downtimes) == 2
    start, end = (dt.datetime.fromisoformat(first[key]) for key in ("start", "end"))
    assert end - start == dt.timedelta(minutes=30)
    assert abs(dt.datetime.now(dt.UTC) - start) < dt.timedelta(minutes=5)


def test_downtimes_of_services_begin_and_end_as_they_are_said(does: Does, site: Site) -> None:
    confinement()
    ask(
        does,
        site,
        "downtime.set",
        host="web-1",
        services=["CPU load", "Memory"],
        start="2026-11-22T22:00:00+01:00",
        end="2026-11-22T23:00:00+01:00",
        comment="New disk",
    )
    assert {each["service_description"] for each in site.downtimes} == {"CPU load", "Memory"}
    assert {each["start_time"] for each in site.downtimes} == {"2026-11-22T22:00:00+01:00"}

    ask(does, site, "downtime.delete", host="web-1", services=["Memory"])
    assert [each["service_description"] for each in site.downtimes] == ["CPU load"]


def test_a_downtime_that_checkmk_refuses_is_told_by_its_code(does: Does, site: Site) -> None:
    confinement()
    unknown = refusal(does, site, "downtime.set", host="nowhere", comment="c")
    site.fails = [502]
    away = refusal(does, site, "downtime.set", host="web-1", comment="c")

    assert unknown.failure_code == "host_not_found"
    assert isinstance(away, TemporaryError)
    assert site.downtimes == []


def test_the_smoke_test_asks_for_every_host(does: Does, site: Site) -> None:
    found = ask(does, site, "host.query", columns=["name"])

    assert found == {"hosts": [{"name": "web-1"}, {"name": "db-1"}], "count": 2}


def test_a_column_that_checkmk_has_not_is_refused(does: Does, site: Site) -> None:
    assert refusal(does, site, "host.query", columns=["nmae"]).failure_code == "refused"
