"""A real Alertmanager posts a real alert, and a blueprint acts on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.alertmanager import alertmanager
from tests.running import Node, git, wait_for

BLUEPRINT = """\
id: bp.test.alert
triggers:
  - event_type: alertmanager.alert
    match: {data.labels.alertname: DiskFull, data.status: firing}
inputs:
  instance: {type: string, from: "{{ event.data.labels.instance }}"}
plan:
  - {id: note, kind: transform, set: {text: "{{ inputs.instance }} is full"}}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""

SOURCE = """\
id: secured
verify: {scheme: bearer, secret_refs: [env/ALERT_TOKEN]}
foreach: "{{ body.alerts }}"
event_type: alertmanager.alert
data: "{{ item }}"
"""


@pytest.fixture(scope="module")
def alerting_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("alerting")
    node = Node(folder / "home", environment={"ALERT_TOKEN": "s3cret-of-the-alerts"}).start()
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    (clone / "blueprints" / "alert.yaml").write_text(BLUEPRINT)
    (clone / "sources" / "secured.yaml").write_text(SOURCE)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Act on alerts")
    git(clone, "push", "-q", "origin", "HEAD:main")
    yield node
    assert node.stop() == 0


@pytest.mark.parametrize(
    ("source", "authorization"),
    [
        ("alertmanager", ""),
        ("secured", ", http_config: {authorization: {credentials: s3cret-of-the-alerts}}"),
    ],
)
def test_a_real_alertmanager_starts_a_run(
    alerting_node: Node, tmp_path: Path, source: str, authorization: str
) -> None:
    webhook = f"{{url: '{alerting_node.url}/hooks/{source}'{authorization}}}"
    with alertmanager(tmp_path, webhook) as url:
        labels = {"alertname": "DiskFull", "instance": f"{source}:9100"}
        posted = httpx2.post(f"{url}/api/v2/alerts", json=[{"labels": labels}], trust_env=False)
        assert posted.is_success, posted.text

        (run,) = wait_for(
            lambda: [
                r for r in runs(alerting_node) if r["inputs"]["instance"] == labels["instance"]
            ],
            lambda: (tmp_path / "alertmanager.log").read_text() + alerting_node.log(),
        )
        done = alerting_node.wait_for_run(run["run_id"], "completed", "failed")

    assert done["status"] == "completed"
    assert done["outputs"] == {"text": f"{source}:9100 is full"}


def runs(node: Node) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.get("/runs", blueprint_id="bp.test.alert")["items"]
    return found


def test_a_wrong_token_is_answered_401_and_starts_nothing(alerting_node: Node) -> None:
    before = {run["run_id"] for run in runs(alerting_node)}

    answer = httpx2.post(
        f"{alerting_node.url}/hooks/secured",
        json={"alerts": [{"labels": {"alertname": "DiskFull"}, "status": "firing"}]},
        headers={"Authorization": "Bearer wrong"},
        trust_env=False,
    )

    assert answer.status_code == 401
    assert {run["run_id"] for run in runs(alerting_node)} == before
