"""The same walk over ::1: pages, API, clone, push, a gate."""

import socket
from pathlib import Path

import httpx2
import pytest

from tests.running import Node, git

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def base(node: Node) -> str:
    """The node's address on IPv6 loopback."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    return f"http://[::1]:{node.port}"


def test_the_way_over_ipv6(node: Node, base: str, tmp_path: Path) -> None:
    with httpx2.Client(base_url=base, trust_env=False) as client:
        assert client.get("/readyz").status_code == 200
        assert client.get("/ui/events").status_code == 200
        git(tmp_path, "clone", "-q", f"{base}/git/state.git", "clone")
        clone = tmp_path / "clone"
        file = clone / "blueprints" / "six.yaml"
        file.write_text("id: bp.test.six\nplan: []\nsurprise: 1\n")
        git(clone, "add", "--all")
        git(clone, "commit", "-q", "-m", "Break it")

        refused = git(clone, "push", "-q", check=False)
        file.write_text(
            "id: bp.test.six\ntriggers: [{event_type: test.six}]\n"
            "plan: [{id: ask, kind: gate, mode: manual}]\n"
        )
        git(clone, "commit", "-qa", "-m", "Mend it")
        git(clone, "push", "-q")
        event = client.post("/api/v1/events", json={"event_name": "test.six", "data": {}}).json()
        (run,) = client.get("/api/v1/runs", params={"event_id": event["event_id"]}).json()["items"]
        node.wait_for_run(run["run_id"], "waiting")
        approved = client.post(f"/api/v1/runs/{run['run_id']}/gates/ask/approve", json={})

        assert "blueprints/six.yaml:3:1: unknown_key" in refused.stderr
        assert approved.status_code == 200
        assert node.wait_for_run(run["run_id"], "completed")


def test_only_the_loopback_addresses_are_bound(node: Node, base: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; picks the address that would
        address = probe.getsockname()[0]

    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://{address}:{node.port}/healthz", trust_env=False, timeout=5)
