"""Artifacts as their users have them: the command, a clone, a bucket."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.moto import SIGNED, s3_with
from tests.running import PLAIN, XYNCTL, Node, clean_environment, git, wait_for

pytestmark = pytest.mark.acceptance


def upload(node: Node, content: bytes, **more: str) -> dict[str, Any]:
    body = {"name": "a.txt", "content_type": "text/plain", **more}
    body["content_base64"] = base64.b64encode(content).decode()
    answer = httpx2.post(f"{node.url}/api/v1/artifacts", json=body, **PLAIN)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def download(node: Node, artifact_id: str) -> httpx2.Response:
    return httpx2.get(f"{node.url}/api/v1/artifacts/{artifact_id}/download", **PLAIN)


def test_the_command_lists_gives_and_verifies(node: Node, tmp_path: Path) -> None:
    made = upload(node, b"hello\n", name="../notes.txt", kind="note")
    short = made["artifact_id"]

    listed = node.xynctl("artifact", "list", "--kind", "note", "-o", "name").stdout.split()
    printed = node.xynctl("artifact", "get", short).stdout
    node.xynctl("artifact", "get", short, "-o", str(tmp_path))
    node.xynctl("artifact", "get", short, "-o", str(tmp_path / "named"))
    verified = node.xynctl("artifact", "verify")

    assert made["artifact_id"] in listed
    assert printed == "hello\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_notes.txt", "named"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"hello\n"}
    assert "whole" in verified.stdout
    assert node.xynctl("artifact", "get", "0" * 32, check=False).returncode == 3


def test_verify_names_what_is_missing_or_damaged_and_get_gives_nothing_of_it(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    damaged, missing = upload(node, b"damaged", name="d"), upload(node, b"missing", name="m")
    upload(node, b"whole")
    for made in (damaged, missing):
        path = node.home / "artifacts" / made["sha256"][:2] / made["sha256"]
        path.unlink()
        if made is damaged:
            path.write_bytes(b"DAMAGED")

    done = node.xynctl("artifact", "verify", "-o", "json", check=False)
    table = node.xynctl("artifact", "verify", check=False)
    got = node.xynctl(
        "artifact", "get", damaged["artifact_id"], "-o", str(tmp_path / "d"), check=False
    )

    assert (done.returncode, table.returncode) == (1, 1)
    said = json.loads(done.stdout)
    assert said["counts"] == {"damaged": 1, "missing": 1, "whole": 1}
    assert {each["name"]: each["state"] for each in said["wrong"]} == {
        "d": "damaged",
        "m": "missing",
    }
    assert f"DAMAGED  {damaged['artifact_id']}" in table.stdout
    assert got.returncode == 1
    assert not (tmp_path / "d").exists()
    assert node.stop() == 0


def test_a_clone_fetches_from_its_origin_what_is_asked_for_and_keeps_it(
    make_node: Callable[..., Node],
) -> None:
    origin = make_node("origin").start()
    asked = upload(origin, b"asked for")
    never = upload(origin, b"never asked for")
    wait_for(lambda: origin.get("/status")["records_waiting"] == 0)
    clone = make_node("clone")
    subprocess.run(
        [*XYNCTL, "clone", origin.url, str(clone.home)],
        env=clean_environment(), check=True, capture_output=True,
    )  # fmt: skip
    clone.start()

    def state(made: dict[str, Any]) -> str:
        found = clone.get(f"/artifacts/{made['artifact_id']}/verify")
        return str(found["state"])

    assert (state(asked), state(never)) == ("elsewhere", "elsewhere")
    assert download(clone, asked["artifact_id"]).content == b"asked for"
    assert origin.stop() == 0
    assert state(asked) == "whole"
    assert download(clone, asked["artifact_id"]).content == b"asked for"
    away = download(clone, never["artifact_id"])
    assert away.status_code == 503
    assert f"at the origin {origin.url}, which does not answer" in away.json()["error"]["message"]
    assert clone.xynctl("artifact", "verify").returncode == 0
    assert clone.stop() == 0


BUCKET = """
artifacts:
  s3:
    bucket: xyn-artifacts
    prefix: ours
    endpoint: {endpoint}
    key_ref: env/S3_KEY
    secret_ref: env/S3_SECRET
"""


def test_with_a_bucket_runs_leave_their_logs_there_and_records_name_them(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    """The bucket is moto's: a simulator."""
    with s3_with("xyn-artifacts") as endpoint:
        node = make_node(S3_KEY="k", S3_SECRET="s").start()
        git(tmp_path, "clone", "-q", node.git_url, "clone")
        settings = tmp_path / "clone" / "node.yaml"
        settings.write_text(settings.read_text() + BUCKET.replace("{endpoint}", endpoint))
        git(tmp_path / "clone", "commit", "-qam", "Keep artifacts in a bucket")
        git(tmp_path / "clone", "push", "-q", "origin", "HEAD:main")
        assert node.stop() == 0
        node.start()

        run = node.run_of(node.emit("demo.hello"))
        node.wait_for_run(run["run_id"], "completed")
        wait_for(lambda: node.get("/status")["records_waiting"] == 0)
        made = upload(node, b"x" * 9_000_000)

        log = node.get("/artifacts", run_id=run["run_id"], kind="log")["items"][0]
        for each in (log, made):
            there = httpx2.get(
                f"{endpoint}/xyn-artifacts/ours/seed/{each['sha256']}", headers=SIGNED, **PLAIN
            )
            assert hashlib.sha256(there.content).hexdigest() == each["sha256"]
            assert there.content == download(node, each["artifact_id"]).content
        assert [p for p in (node.home / "artifacts").rglob("*") if p.is_file()] == []
        assert "2 whole" in node.xynctl("artifact", "verify").stdout
    # The bucket is away now: runs go on, and what is not there is said.
    run = node.run_of(node.emit("demo.hello"))
    node.wait_for_run(run["run_id"], "completed")
    away = download(node, made["artifact_id"])
    assert away.status_code == 503
    assert "s3://xyn-artifacts/ours/seed does not answer" in away.json()["error"]["message"]
    assert node.stop() == 0
