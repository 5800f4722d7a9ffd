"""A pack with an app of its own on a real node, beside a real Docker engine."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.docker_engine import Engine
from tests.neighbours import neighbour
from tests.running import Node, git, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

PACK = """\
id: shop
version: 0.1.0
attachment: managed
requires: {secrets: [env/SHOP_TOKEN]}
backup: {volumes: [data]}
"""
COMPOSE = """\
services:
  web:
    image: xyn-test/app:1
    command: [/bin/sleep, "6000"]
    stop_signal: SIGKILL
    environment: {TOKEN: "${SECRET_SHOP_TOKEN}"}
    volumes: ["data:/data"]
volumes: {data: }
"""
TOKEN = "canary-of-the-shop-77"


@pytest.fixture(scope="module")
def engine(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("image")
    (folder / "tree" / "bin").mkdir(parents=True)
    shutil.copy(neighbour("busybox", "docker"), folder / "tree" / "bin" / "sleep")
    subprocess.run(["tar", "-C", folder / "tree", "-cf", folder / "it.tar", "."], check=True)
    neighbour("docker-compose", "docker")
    shared_engine.docker("import", str(folder / "it.tar"), "xyn-test/app:1")
    yield shared_engine
    shared_engine.docker("image", "rm", "--force", "xyn-test/app:1")


def app_of(node: Node) -> dict[str, Any]:
    return dict(node.get("/packs/shop")["app"] or {})


def test_an_app_is_kept_while_the_node_is_there_and_found_changed_after_it_was_not(
    engine: Engine, make_node: Callable[..., Node], tmp_path: Path
) -> None:
    host = {"DOCKER_HOST": engine.host} if engine.host else {}
    node = make_node(SHOP_TOKEN=TOKEN, **host).start()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", node.git_url, str(clone))
    folder = clone / "packs" / "shop"
    folder.mkdir(parents=True)
    (folder / "pack.yaml").write_text(PACK)
    (folder / "compose.yaml").write_text(COMPOSE)
    with (clone / "node.yaml").open("a") as definition:
        definition.write("apps: {enabled: true}\ncontainers: {allow: ['xyn-test/app:1']}\n")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "A shop")
    git(clone, "push", "origin", "HEAD:main")

    def containers() -> list[str]:
        label = f"label=com.docker.compose.project={app_of(node)['project']}"
        return engine.docker("ps", "-q", "--no-trunc", "--filter", label).split()

    wait_for(lambda: app_of(node).get("status") == "up")
    (first,) = containers()
    told = json.loads(engine.docker("inspect", first))[0]
    assert f"TOKEN={TOKEN}" in told["Config"]["Env"]
    assert TOKEN not in json.dumps(node.get("/packs/shop"))
    shown = json.loads(node.xynctl("pack", "show", "shop", "-o", "json").stdout)
    assert shown["backup"] == {"volumes": ["data"]}

    engine.docker("kill", first)
    wait_for(lambda: app_of(node)["reason"] == "Mended")
    (second,) = containers()
    assert second != first

    assert node.stop() == 0
    engine.docker("rm", "--force", second)
    node.start()
    wait_for(lambda: len(containers()) == 1)
    project = app_of(node)["project"]

    git(clone, "rm", "-r", "packs/shop")
    git(clone, "commit", "-m", "No shop")
    git(clone, "push", "origin", "HEAD:main")

    def left() -> str:
        label = f"label=com.docker.compose.project={project}"
        return engine.docker("ps", "--all", "-q", "--filter", label)

    wait_for(lambda: left() == "")
    volume = engine.docker("volume", "ls", "-q", "--filter", f"name={project}").strip()
    assert volume.endswith("_data")
    engine.docker("volume", "rm", volume)
