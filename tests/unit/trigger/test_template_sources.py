"""The sources of the template, with bodies as those systems send them."""

import datetime as dt
import http.server
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.packs import settings_in_force
from xyn_reconciler.model.event import Event
from xyn_reconciler.template import template_files
from xyn_reconciler.trigger.mapping import Delivery, map_delivery
from xyn_reconciler.trigger.signature import secret_refs, verify

NOW = dt.datetime(2026, 11, 22, 10, 0, tzinfo=dt.UTC)
BODIES = Path(__file__).parent / "bodies"
FILES = dict(template_files())
SOURCES = {Path(path).stem: path for path in FILES if Path(path).parent.name == "sources"}
"""Name -> path: at the top, or in a pack."""
SECRET = "whsec_Y2hlY2ttayBhbmQgeHluIHNoYXJlIHRoaXM="


def body(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BODIES / f"{name}.json").read_text())
    return found


def document(source: str) -> dict[str, Any]:
    path = SOURCES[source]
    loaded = load(path, "b", FILES[path])
    assert loaded.problems == ()
    return dict(loaded.document)


def settings(source: str) -> dict[str, Any]:
    """The settings that a source of a pack goes by."""
    pack = in_pack(SOURCES[source])[0]
    return settings_in_force(
        load(path, "b", data) for path, data in FILES.items() if pack and in_pack(path)[0] == pack
    )


def mapped(source: str, content: object, headers: dict[str, str] | None = None) -> list[Event]:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return map_delivery(
        document(source),
        Delivery({"content-type": "application/json"} | (headers or {}), raw),
        env_id="local",
        correlation_id="c",
        now=NOW,
        new_id=uuid.uuid4,
    )


@pytest.mark.parametrize(
    ("name", "kind", "resource"),
    [
        ("github_push", "push", {"type": "repository", "id": "octo-org/Hello-World"}),
        (
            "github_pull_request",
            "pull_request",
            {"type": "repository", "id": "octo-org/Hello-World"},
        ),
        ("github_ping", "ping", {"type": "repository", "id": "octo-org"}),
    ],
)
def test_what_github_sends_is_an_event_by_its_kind(
    name: str, kind: str, resource: dict[str, str]
) -> None:
    headers = {"X-GitHub-Event": kind, "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}

    (event,) = mapped("github", body(name), headers)

    assert event.event_name == f"github.{kind}"
    assert event.delivery_id == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert event.resource == resource


def test_addresses_of_committers_are_not_kept() -> None:
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1"}
    (github,) = mapped("github", body("github_push"), headers)
    (gitlab,) = mapped("gitlab", body("gitlab_push"))

    for event in (github, gitlab):
        assert event.raw is not None
        kept = json.dumps(event.data) + event.raw.decode()
        assert "@" not in kept
        assert "Update" in kept


@pytest.mark.parametrize(
    ("name", "kind", "project"),
    [
        ("gitlab_push", "push", "mike/diaspora"),
        ("gitlab_pipeline", "pipeline", "gitlab-org/gitlab-test"),
        ("gitlab_system", "project_create", None),
    ],
)
def test_what_gitlab_sends_is_an_event_by_its_kind(
    name: str, kind: str, project: str | None
) -> None:
    headers = {"Idempotency-Key": "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"}

    (event,) = mapped("gitlab", body(name), headers)

    assert event.event_name == f"gitlab.{kind}"
    assert event.delivery_id == headers["Idempotency-Key"]
    assert event.resource == (None if project is None else {"type": "project", "id": project})


def test_gitlab_before_17_names_its_delivery_by_the_event() -> None:
    (event,) = mapped("gitlab", body("gitlab_push"), {"X-Gitlab-Event-UUID": "e-1"})

    assert event.delivery_id == "e-1"


@pytest.mark.parametrize(("source", "count"), [("alertmanager", 2), ("grafana", 1)])
def test_each_alert_is_an_event(source: str, count: int) -> None:
    content = body(source)

    events = mapped(source, content)

    assert len(events) == count
    for event, alert in zip(events, content["alerts"], strict=True):
        assert event.event_name == f"{source}.alert"
        assert event.data == alert
        assert event.resource == {"type": "alert", "id": alert["fingerprint"]}


@pytest.mark.parametrize("source", ["alertmanager", "grafana"])
def test_an_alert_is_the_same_wherever_it_stands_in_the_next_notification(source: str) -> None:
    first = body(source)
    again = first | {"alerts": [{"fingerprint": "new", "status": "firing"}, *first["alerts"][::-1]]}
    resolved = first | {"alerts": [each | {"status": "resolved"} for each in first["alerts"][:1]]}

    def named(content: dict[str, Any]) -> set[tuple[str | None, int]]:
        return {(event.delivery_id, event.delivery_item) for event in mapped(source, content)}

    assert named(first) < named(again)
    assert named(first).isdisjoint(named(resolved))


def test_a_cloud_event_in_either_mode_is_the_same_event() -> None:
    data = {"host": "web-1", "type": "not the event's"}
    structured = {
        "specversion": "1.0",
        "id": "A-1",
        "source": "/mycontext/4",
        "type": "com.example.someevent",
        "subject": "web-1",
        "data": data,
    }
    headers = {f"ce-{name}": str(value) for name, value in structured.items() if name != "data"}

    (one,) = mapped("cloud-events", structured)
    (other,) = mapped("cloud-events", data, headers)

    for event in (one, other):
        assert event.event_name == "com.example.someevent"
        assert event.delivery_id == "/mycontext/4 A-1"
        assert event.resource == {"type": "/mycontext/4", "id": "web-1"}
        assert event.data == data


def test_binary_data_of_a_structured_cloud_event_is_not_lost() -> None:
    (event,) = mapped(
        "cloud-events",
        {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data_base64": "AAE="},
    )

    assert event.data == {"value": "AAE="}


def test_whatever_sends_json_may_name_its_event() -> None:
    (named,) = mapped("generic", {"host": "a"}, {"X-Event": "disk.full", "Idempotency-Key": "k"})
    (plain,) = mapped("generic", [1])

    assert (named.event_name, named.delivery_id) == ("generic.disk.full", "k")
    assert (plain.event_name, plain.delivery_id, plain.data) == (
        "generic.event",
        None,
        {"value": [1]},
    )


def test_every_source_but_alertmanager_names_its_secret() -> None:
    closed = {name: secret_refs(document(name), settings(name)) for name in SOURCES}

    assert closed == {
        "alertmanager": [],
        "checkmk": ["sys/local/integrations/checkmk-hook"],
        "cloud-events": ["env/XYN_HOOK_TOKEN"],
        "generic": ["env/XYN_HOOK_TOKEN"],
        "github": ["sys/local/integrations/github-hook"],
        "gitlab": ["env/GITLAB_WEBHOOK_TOKEN"],
        "grafana": ["env/GRAFANA_HOOK_TOKEN"],
    }
    assert document("alertmanager")["verify"] == {"scheme": "none"}


# ── Checkmk's side ───────────────────────────────────────────────────────────────────────────────


class Hook(http.server.ThreadingHTTPServer):
    """Takes what is posted and answers with one status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 202
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/checkmk"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Hook)
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, content))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def notify(tmp_path: Path, url: str, name: str, secret: str = SECRET, **more: str) -> int:
    script, kept = tmp_path / "xyn-notify", tmp_path / "secret"
    script.write_bytes(FILES["packs/checkmk/notifications/xyn-notify"])
    kept.write_text(secret + "\n")
    environment = body(name) | more
    environment |= {"NOTIFY_PARAMETER_1": url, "NOTIFY_PARAMETER_2": str(kept)}
    return subprocess.run(
        [sys.executable, "-I", script], env=environment, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "checkmk_service",
            {
                "what": "SERVICE",
                "host": "db-1",
                "service": "Filesystem /var",
                "state": "CRIT",
                "previous_state": "OK",
                "long_output": "Total inodes: 3276800\nUsed: 2%",
            },
        ),
        (
            "checkmk_host",
            {
                "what": "HOST",
                "host": "db-1",
                "service": None,
                "state": "DOWN",
                "previous_state": "UP",
            },
        ),
    ],
)
def test_checkmks_script_sends_what_its_source_verifies_and_maps(
    tmp_path: Path, hook: Hook, name: str, expected: dict[str, Any]
) -> None:
    assert notify(tmp_path, hook.url, name) == 0

    ((headers, content),) = hook.got
    secrets = {"sys/local/integrations/checkmk-hook": SECRET}
    now = dt.datetime.now(dt.UTC)
    verify(
        document("checkmk"),
        headers,
        content,
        pack=settings("checkmk"),
        resolve=secrets.get,
        from_loopback=False,
        now=now,
    )
    (event,) = mapped("checkmk", content, headers)
    assert event.event_name == "checkmk.alert"
    assert event.data | expected == event.data
    assert event.resource == {"type": "host", "id": "db-1"}
    assert "ada@example.net" not in content.decode()


def test_checkmk_tells_every_contact_and_it_is_one_delivery(tmp_path: Path, hook: Hook) -> None:
    for contact in ("ada", "grace"):
        assert notify(tmp_path, hook.url, "checkmk_service", NOTIFY_CONTACTNAME=contact) == 0
    assert notify(tmp_path, hook.url, "checkmk_service", NOTIFY_MICROTIME="1") == 0

    first, second, later = (headers["webhook-id"] for headers, _ in hook.got)
    assert first == second != later


@pytest.mark.parametrize(
    ("status", "code"), [(202, 0), (401, 1), (404, 1), (429, 1), (503, 1), (422, 2), (413, 2)]
)
def test_checkmk_tries_again_what_may_pass(
    tmp_path: Path, hook: Hook, status: int, code: int
) -> None:
    hook.status = status

    assert notify(tmp_path, hook.url, "checkmk_service") == code


def test_checkmk_hears_what_can_never_work(tmp_path: Path, hook: Hook) -> None:
    assert notify(tmp_path, "nowhere", "checkmk_host") == 2
    assert notify(tmp_path, hook.url, "checkmk_host", secret="not base64!") == 2
    assert notify(tmp_path, "http://127.0.0.1:1/", "checkmk_host") == 1
