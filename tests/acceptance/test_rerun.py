"""Run it again, and say what becomes of an interrupted step: by command, API and page."""

from pathlib import Path

import httpx2

from tests.running import Node


def completed(node: Node) -> str:
    run = node.run_of(node.emit("demo.hello", {"name": "again"}))
    node.wait_for_run(run["run_id"], "completed")
    return str(run["run_id"])


def test_a_run_is_run_again_from_a_step_and_names_its_origin(node: Node) -> None:
    first = completed(node)

    again = node.xynctl("run", "rerun", first, "--from", "close", "-o", "name").stdout.strip()
    done = node.wait_for_run(again, "completed", "failed")
    steps = {step["key"]: step for step in node.get(f"/runs/{again}/steps")["items"]}

    assert done["status"] == "completed"
    assert done["origin_run_id"] == first
    assert steps["greet"]["attempt"] <= 1
    assert done["outputs"] == node.get(f"/runs/{first}")["outputs"]


def test_the_page_runs_it_again_and_shows_the_new_run(node: Node) -> None:
    first = completed(node)

    answer = httpx2.post(
        f"{node.url}/ui/runs/{first}/rerun",
        data={"from_step": "", "revision": "main", "fresh": "true"},
        trust_env=False,
    )
    lost = httpx2.post(
        f"{node.url}/ui/runs/{first}/rerun", data={"revision": "nowhere"}, trust_env=False
    )

    assert lost.status_code == 404
    assert "there is no revision" in lost.text
    assert answer.status_code in {302, 303}
    new = Path(answer.headers["location"]).name
    assert node.wait_for_run(new, "completed")["origin_run_id"] == first


def test_a_step_that_asks_nobody_cannot_be_resolved(node: Node) -> None:
    first = completed(node)

    done = node.xynctl("run", "resolve", first, "greet", "retry", check=False)

    assert done.returncode == 4
    assert "asks nobody" in done.stderr


def test_a_step_that_is_not_there_is_named(node: Node) -> None:
    first = completed(node)

    done = node.xynctl("run", "rerun", first, "--from", "nope", check=False)

    assert done.returncode in {2, 3}
    assert "nope" in done.stderr
