"""Ready packs on a node, set up as their how-tos say: Checkmk both ways, the edge in front."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.caddy import caddy
from tests.checkmk_site import checkmk_site
from tests.neighbours import confinement
from tests.running import PLAIN, Node, git, wait_for

pytestmark = pytest.mark.acceptance

HOOK_SECRET = "whsec_Y2hlY2ttayBhbmQgeHluIHNoYXJlIHRoaXM="


def push(node: Node, folder: Path, files: dict[str, Any]) -> Path:
    """Add to ``main``; what is in ``node.yaml`` is added to what stands there."""
    clone = folder / "clone"
    git(folder, "clone", "-q", node.git_url, str(clone))
    for path, content in files.items():
        place = clone / path
        was = yaml.safe_load(place.read_text()) if path == "node.yaml" else {}
        place.write_text(yaml.safe_dump({**was, **content}))
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Set up a pack")
    git(clone, "push", "-q", "origin", "HEAD:main")
    return clone


def test_a_problem_in_checkmk_is_taken_over_by_a_person(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    confinement()
    node = make_node().start()
    with checkmk_site() as site:
        value = f"{site.user} {site.secret}"
        node.xynctl("secret", "set", "sys/local/integrations/checkmk", stdin=value)
        node.xynctl("secret", "set", "sys/local/integrations/checkmk-hook", stdin=HOOK_SECRET)
        clone = push(
            node,
            tmp_path,
            {
                "node.yaml": {"egress": {"allow": ["127.0.0.1"]}, "vars": {"checkmk_ask": True}},
                "packs/checkmk/settings.yaml": {"url": site.url},
            },
        )
        tried = node.xynctl("pack", "test", "--live", "checkmk")
        notify(clone, tmp_path, f"{node.url}/hooks/checkmk")
        (run,) = wait_for(lambda: node.get("/runs", blueprint_id="bp.checkmk.take_over")["items"])
        node.wait_for_run(run["run_id"], "waiting")
        node.xynctl("gate", "approve", run["run_id"], "take_over")
        done = node.wait_for_run(run["run_id"], "completed", "failed")
        maintained = node.xynctl(
            "run", "start", "bp.checkmk.maintain", "--input", "host=web-1", "-o", "name"
        )
        ended = node.wait_for_run(maintained.stdout.strip(), "completed", "failed")

    assert tried.stdout == "passed   checkmk\n"
    assert done["status"] == ended["status"] == "completed"
    (acknowledged,) = site.acknowledged
    assert (acknowledged["host_name"], acknowledged["service_description"]) == ("web-1", "CPU load")
    assert acknowledged["comment"].endswith("looks at it")
    (downtime,) = site.downtimes
    assert downtime["end_time"] == ended["outputs"]["until"]
    assert f"Xyn run {ended['run_id']}" in downtime["comment"]


def notify(clone: Path, folder: Path, url: str) -> None:
    """Do what Checkmk does when a service is critical."""
    (folder / "secret").write_text(HOOK_SECRET)
    told = {
        "WHAT": "SERVICE",
        "NOTIFICATIONTYPE": "PROBLEM",
        "HOSTNAME": "web-1",
        "SERVICEDESC": "CPU load",
        "SERVICESHORTSTATE": "CRIT",
        "SERVICEOUTPUT": "load 97",
        "PARAMETER_1": url,
        "PARAMETER_2": str(folder / "secret"),
    }
    environment = {"PATH": os.environ["PATH"], **{f"NOTIFY_{k}": v for k, v in told.items()}}
    script = clone / "packs" / "checkmk" / "notifications" / "xyn-notify"
    subprocess.run([sys.executable, "-I", script], env=environment, check=True)


def test_the_node_is_behind_the_edge_that_its_repository_declares(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    confinement()
    node = make_node().start()
    folder = tmp_path / "caddy"
    folder.mkdir()
    with caddy(folder) as edge:
        upstream = node.url.removeprefix("http://")
        push(
            node,
            tmp_path,
            {
                "node.yaml": {"egress": {"allow": ["127.0.0.1"]}, "vars": {"edge": True}},
                "packs/edge/settings.yaml": {"admin": f"http://{edge.admin}"},
                "packs/edge/config/edge.yaml": {
                    "listen": {"http": edge.http, "https": edge.https},
                    "hosts": [{"host": "xyn.localhost", "upstream": upstream}],
                },
            },
        )
        (event,) = wait_for(
            lambda: node.get("/events", event_name="edge.config.applied")["items"], node.log
        )
        here = {"headers": {"Host": "xyn.localhost"}, **PLAIN}
        page = httpx2.get(f"http://{edge.http}/", follow_redirects=True, **here)
        # Who comes through the edge may be anybody: what is open to this machine alone is not.
        delivery = httpx2.post(
            f"http://{edge.http}/hooks/alertmanager", json={"alerts": []}, **here
        )
        (run,) = node.get("/runs", blueprint_id="bp.edge.apply")["items"]

    assert event["data"]["added"] == ["xyn.localhost"]
    assert page.status_code == 200
    assert "Xyn" in page.text
    assert delivery.status_code == 401
    assert run["status"] == "completed"
