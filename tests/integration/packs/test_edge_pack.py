"""The pack edge against a real Caddy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.caddy import Caddy, caddy
from tests.http_site import Asked, Said, serving
from tests.integration.packs.conftest import Does
from tests.neighbours import confinement
from tests.running import PLAIN, wait_for
from xyn_reconciler.model.errors import StepError


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Caddy]:
    confinement()
    with caddy(tmp_path) as found:
        yield found


@pytest.fixture
def upstream() -> Iterator[str]:
    """Says what it was asked; one of its answers has a header of its own."""

    def answer(asked: Asked) -> Said:
        own = {"X-Frame-Options": "DENY"} if asked.path == "/own" else {}
        return Said(200, {**asked.headers, "size": len(asked.content)}, own)

    with serving(answer) as url:
        yield url.removeprefix("http://")


def desired(edge: Caddy, *hosts: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    listen = {"http": edge.http, "https": edge.https}
    return {
        "listen": listen,
        "headers": {"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff"},
        "hosts": list(hosts),
        **more,
    }


def ask(does: Does, edge: Caddy, name: str, config: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    settings = {"admin": f"http://{edge.admin}", "https": f"https://{edge.https}"}
    return does(f"edge.{name}", settings, config={"edge": config}, **more)


def get(edge: Caddy, host: str, path: str = "/", **more: Any) -> httpx2.Response:  # noqa: ANN401 - of the client
    headers = {"Host": host, **more.pop("headers", {})}
    return httpx2.post(f"http://{edge.http}{path}", headers=headers, **PLAIN, **more)


def test_hosts_come_change_and_go_and_nothing_is_loaded_twice(
    does: Does, edge: Caddy, upstream: str
) -> None:
    one = {"host": "one.test", "upstream": upstream}
    two = {"host": "two.test", "upstream": upstream}
    smaller = {**one, "max_body": "1kB"}

    planned = ask(does, edge, "config.apply", desired(edge, one), check=True)
    empty = ask(does, edge, "config.show", {})
    first = ask(does, edge, "config.apply", desired(edge, one))
    served = get(edge, "one.test")
    again = ask(does, edge, "config.apply", desired(edge, one))
    changed = ask(does, edge, "config.apply", desired(edge, smaller, two))
    gone = ask(does, edge, "config.apply", desired(edge, two))

    assert empty == {"config": {"admin": {"listen": edge.admin}}}
    assert (
        planned
        == first
        == {
            "changed": True,
            "hosts": ["one.test"],
            "added": ["one.test"],
            "removed": [],
            "altered": [],
        }
    )
    assert served.json()["host"] == "one.test"
    assert again["changed"] is False
    assert (changed["added"], changed["altered"]) == (["two.test"], ["one.test"])
    assert gone["removed"] == ["one.test"]
    assert get(edge, "one.test").content == b""
    assert get(edge, "two.test").status_code == 200


def test_what_caddy_refuses_leaves_what_it_has(does: Does, edge: Caddy, upstream: str) -> None:
    one = {"host": "one.test", "upstream": upstream}
    ask(does, edge, "config.apply", desired(edge, one))
    # Somebody else listens there.
    taken = desired(edge, one, listen={"http": upstream, "https": edge.https})

    with pytest.raises(StepError) as refused:
        ask(does, edge, "config.apply", taken)

    assert refused.value.failure_code == "config_refused"
    assert "address already in use" in refused.value.message
    assert get(edge, "one.test").status_code == 200


def test_the_rest_of_caddys_configuration_stays(does: Does, edge: Caddy, upstream: str) -> None:
    own = {"admin": {"listen": edge.admin}, "logging": {"logs": {"default": {"level": "ERROR"}}}}
    httpx2.post(f"http://{edge.admin}/load", json=own, **PLAIN).raise_for_status()

    ask(does, edge, "config.apply", desired(edge, {"host": "one.test", "upstream": upstream}))

    config = ask(does, edge, "config.show", {})["config"]
    assert {key: config[key] for key in own} == own


def test_headers_limits_and_forwarding_are_as_declared(
    does: Does, edge: Caddy, upstream: str
) -> None:
    host = {"host": "one.test", "upstream": upstream, "max_body": "1kB"}
    ask(does, edge, "config.apply", desired(edge, host))
    lies = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    plain, own = get(edge, "one.test", headers=lies), get(edge, "one.test", "/own")
    large = get(edge, "one.test", content=b"x" * 2000)
    ask(does, edge, "config.apply", desired(edge, host, trusted_proxies=["127.0.0.0/8"]))
    behind = get(edge, "one.test", headers=lies)

    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers["x-frame-options"] == "SAMEORIGIN"
    assert own.headers.get_list("x-frame-options") == ["DENY"]
    assert plain.json()["x-forwarded-for"] == "127.0.0.1"
    assert plain.json()["x-forwarded-proto"] == "http"
    assert plain.json()["x-forwarded-host"] == "one.test"
    assert behind.json()["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert behind.json()["x-forwarded-proto"] == "https"
    # Caddy 2.6 takes the upstream's side of it for the failure.
    assert large.status_code in (413, 502)


def test_where_tls_is_on_http_leads_to_it_and_certificates_are_looked_at(
    does: Does, edge: Caddy, upstream: str
) -> None:
    config = desired(edge, {"host": "one.test", "upstream": upstream, "tls": "internal"})
    ask(does, edge, "config.apply", config)

    redirected = get(edge, "one.test", "/a?b=c")

    def looked_at() -> dict[str, Any] | None:
        status = ask(does, edge, "cert.status", config)
        return status if status["certificates"] else None

    status = wait_for(looked_at)
    (shown,) = status["certificates"]
    port = edge.https.rpartition(":")[2]
    assert redirected.status_code == 308
    assert redirected.headers["location"] == f"https://one.test:{port}/a?b=c"
    assert shown["host"] == "one.test"
    assert "Caddy Local Authority" in shown["issuer"]
    assert status["least_days_left"] == shown["days_left"]
    assert status["problems"] == {}

    other = desired(edge, {"host": "other.test", "upstream": upstream, "tls": "internal"})
    missing = ask(does, edge, "cert.status", other)
    assert missing["certificates"] == []
    assert list(missing["problems"]) == ["other.test"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"hosts": [{"host": "A b", "upstream": "a:1"}]}, "hosts[0].host is a name"),
        ({"hosts": [{"host": "a", "upstream": "a"}]}, "hosts[0].upstream is HOST:PORT"),
        ({"hosts": [{"host": "a", "upstream": "a:1", "tls": "on"}]}, "hosts[0].tls is one of off"),
        ({"hosts": [{"host": "a", "upstream": "a:1"}] * 2}, "a stands in hosts twice"),
        ({"limits": {"idle_time": "soon"}}, "limits.idle_time is a time"),
        (
            {"limits": {"max_body": "much"}, "hosts": [{"host": "a", "upstream": "a:1"}]},
            "is a size",
        ),
        ({"lisen": {}}, "unknown key lisen"),
        ({"listen": {"http": "8080"}}, "listen.http is an address and a port"),
    ],
)
def test_a_mistake_in_the_configuration_is_told_in_its_words(
    does: Does, wrong: dict[str, Any], told: str
) -> None:
    confinement()
    with pytest.raises(StepError) as caught:
        does("edge.config.apply", {"admin": "http://127.0.0.1:1"}, config={"edge": wrong})

    assert caught.value.failure_code == "bad_config"
    assert told in caught.value.message
