"""The limits of seed 38 as a node's owner sets them in ``node.yaml``, each at its edge."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.crash.ledger import Effects
from tests.running import Node, git, wait_for
from xyn_reconciler.model.node import Limits
from xyn_reconciler.model.units import parse_duration, parse_size

pytestmark = pytest.mark.acceptance

LIMITS = "limits: {max_steps: 3, run_timeout: 2s, artifact_max: 1kB, artifact_quota: 2500B}"
STEPS = "id: bp.test.{name}\nplan:\n{steps}"
SLOW = """\
id: bp.test.slow
plan:
  - id: call
    kind: action_task
    action: http.call
    with: {url: "URL", method: POST}
"""


@pytest.fixture(scope="module")
def effects() -> Iterator[Effects]:
    server = Effects()
    yield server
    server.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, effects: Effects) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("limits")
    node = Node(folder / "home").start()
    git(folder, "clone", "-q", node.git_url, "clone")
    write(folder / "clone", effects)
    git(folder / "clone", "add", "--all")
    git(folder / "clone", "commit", "-q", "-m", "Set limits")
    git(folder / "clone", "push", "-q", "origin", "HEAD:main")
    yield node
    assert node.stop() == 0


def write(clone: Path, effects: Effects) -> None:
    kept = [
        line
        for line in (clone / "node.yaml").read_text().splitlines()
        if not line.startswith(("egress:", "limits:"))
    ]
    allow = f'egress: {{allow: ["127.0.0.1:{effects.port}"]}}'
    (clone / "node.yaml").write_text("\n".join([*kept, allow, LIMITS, ""]))
    for name, count in (("three", 3), ("four", 4)):
        steps = "".join(f"  - {{id: s{n}, kind: transform}}\n" for n in range(count))
        text = STEPS.format(name=name, steps=steps)
        (clone / "blueprints" / f"{name}.yaml").write_text(text)
    url = f"http://127.0.0.1:{effects.port}/"
    (clone / "blueprints" / "slow.yaml").write_text(SLOW.replace("URL", url))


def upload(node: Node, size: int) -> httpx2.Response:
    file = {"file": (f"{size}.bin", size.to_bytes(4, "big") * (size // 4) + b"x" * (size % 4))}
    return httpx2.post(f"{node.url}/api/v1/artifacts", files=file, trust_env=False)


def test_the_defaults_are_those_of_the_seed() -> None:
    limits = Limits()

    assert limits.max_steps == 200
    assert parse_duration(limits.run_timeout).total_seconds() == 60 * 60
    assert parse_size(limits.artifact_max) == 250_000_000
    assert parse_size(limits.artifact_quota) == 20_000_000_000
    assert parse_duration(limits.backlog).days == 7


def test_one_artifact_and_all_of_them_have_their_bytes_and_no_more(node: Node) -> None:
    first = upload(node, 1000)
    too_large = upload(node, 1001)
    second = upload(node, 996)
    beyond = upload(node, 505)
    last = upload(node, 504)
    full = upload(node, 4)

    assert [each.status_code for each in (first, second, last)] == [201, 201, 201]
    assert (too_large.status_code, too_large.json()["error"]["code"]) == (413, "too_large")
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (507, "quota_exceeded")
    assert (full.status_code, full.json()["error"]["code"]) == (507, "quota_exceeded")


def test_a_run_has_as_many_steps_as_the_node_allows(node: Node) -> None:
    run = node.post("/runs", {"blueprint_ref": "bp.test.three"})
    refused = httpx2.post(
        f"{node.url}/api/v1/runs", json={"blueprint_ref": "bp.test.four"}, trust_env=False
    )

    assert node.wait_for_run(run["run_id"], "completed", "failed")["status"] == "completed"
    assert refused.status_code == 422
    said = refused.json()["error"]
    assert said["details"]["code"] == "too_many_steps"
    assert "limits.max_steps" in said["message"]


def test_a_run_ends_when_its_wall_clock_is_over(node: Node, effects: Effects) -> None:
    effects.open.clear()
    late = node.post("/runs", {"blueprint_ref": "bp.test.slow"})
    wait_for(lambda: sum(effects.seen.values()) == 1)
    failed = node.wait_for_run(late["run_id"], "completed", "failed")
    effects.open.set()
    in_time = node.post("/runs", {"blueprint_ref": "bp.test.slow"})

    assert (failed["status"], failed["error"]["code"]) == ("failed", "run_timeout")
    done = node.wait_for_run(in_time["run_id"], "completed", "failed")
    assert done["status"] == "completed"
