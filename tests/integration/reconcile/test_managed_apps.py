"""Apps of packs on a real Docker engine: brought up, kept as declared, taken down."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.acceptance.docker_engine import Engine
from tests.neighbours import neighbour
from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.reconcile.compose import ManagedApps
from xyn_reconciler.store import desired, managed_apps
from xyn_reconciler.store.database import Database

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-shop"
DYING = str(Path(__file__).parents[2] / "crash" / "dying_apps.py")


@pytest.fixture(scope="module")
def engine(shared_engine: Engine) -> Iterator[Engine]:
    neighbour("docker-compose", "docker")
    with pytest.MonkeyPatch.context() as patch:
        if shared_engine.host:
            patch.setenv("DOCKER_HOST", shared_engine.host)
        yield shared_engine


@pytest.fixture(scope="module")
def busybox(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("busybox")
    (folder / "tree" / "bin").mkdir(parents=True)
    shutil.copy(neighbour("busybox", "docker"), folder / "tree" / "bin" / "busybox")
    for name in ("sh", "sleep", "true"):
        (folder / "tree" / "bin" / name).symlink_to("busybox")
    subprocess.run(["tar", "-C", folder / "tree", "-cf", folder / "it.tar", "."], check=True)
    found = engine.docker("import", str(folder / "it.tar"), "xyn-test/apps").strip()
    yield found
    engine.docker("image", "rm", "--force", found)


@dataclass
class Apps:
    """A node's loop, and the packs that are active on it."""

    engine: Engine
    database: Database
    image: str
    node: str
    packs: dict[str, tuple[dict[str, Any], PlanPack | None]] = field(default_factory=dict)
    now: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    secrets: dict[str, str] = field(default_factory=lambda: {"env/SHOP": TOKEN})
    images: tuple[str, ...] = ()
    enabled: bool = True
    mode: str = "active"

    def has(self, attachment: str = "managed", **services: dict[str, Any]) -> None:
        definition = {
            "id": "shop",
            "attachment": attachment,
            "requires": {"secrets": ["env/SHOP"]},
        }
        declared = {
            name: {"image": self.image, "command": ["/bin/sleep", "600"], "stop_signal": "SIGKILL"}
            | more
            for name, more in services.items()
        }
        document = {"services": declared, "volumes": {"data": None}}
        pack = PlanPack(
            version="0.1.0",
            digest="d",
            settings={"word": "hi"},
            actions={},
            files={"compose.yaml": json.dumps(document)},
        )
        self.packs = {"shop": (definition, pack)}

    def look(self, *, after: float = 3600.0) -> None:
        """Look as the node does, so much later that nothing has to wait."""
        self.now += dt.timedelta(seconds=after)
        self.settle()
        ManagedApps(
            database=self.database,
            packs=lambda _: self.packs,
            secret=self.secrets.get,
            key=b"k",
            clean=lambda said: said,
            clock=lambda: self.now,
        ).look(threading.Event())

    def killed_at(self, point: str) -> None:
        """Look in a process that is killed there."""
        self.settle()
        packs = {
            name: (definition, pack.model_dump() if pack else None)
            for name, (definition, pack) in self.packs.items()
        }
        done = subprocess.run(
            [sys.executable, DYING, self.database.url, json.dumps(packs)],
            env={**os.environ, "XYN_CRASH_AT": point},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL

    def settle(self) -> None:
        """Have the node's settings as they are here."""
        settings = {
            "id": self.node,
            "mode": self.mode,
            "apps": self.enabled,
            "images": [*self.images],
        }
        with self.database.begin() as connection:
            connection.execute(
                text("UPDATE node SET settings = :settings"), {"settings": json.dumps(settings)}
            )

    def row(self) -> managed_apps.ManagedApp:
        with self.database.begin() as connection:
            found = managed_apps.get_managed_app(connection, "shop")
        assert found is not None
        return found

    def condition(self) -> bool | None:
        with self.database.begin() as connection:
            found = desired.read_node(connection).conditions
        return next((each.status for each in found if each.type == "AppsRunning"), None)

    def containers(self, *options: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.project()}"
        return self.engine.docker("ps", "-q", "--filter", label, *options).split()

    def project(self) -> str:
        from xyn_reconciler.reconcile.managed_apps import project_name  # noqa: PLC0415 - here alone

        return project_name(self.node, "shop")

    def inspect(self) -> dict[str, Any]:
        (one,) = self.containers()
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", one))[0]
        return found


@pytest.fixture
def apps(engine: Engine, busybox: str, database: Database) -> Iterator[Apps]:
    with database.begin() as connection:
        desired.ensure_node(connection, "seed")
    made = Apps(engine, database, busybox, f"n{uuid.uuid4().hex[:6]}")
    yield made
    made.packs, made.mode, made.enabled = {}, "active", True
    made.look()
    volumes = engine.docker("volume", "ls", "-q", "--filter", f"name={made.project()}").split()
    if volumes:
        engine.docker("volume", "rm", *volumes)


def test_an_app_comes_up_with_its_values_and_goes_with_its_pack_but_for_its_data(
    apps: Apps,
) -> None:
    apps.has(
        web={
            "environment": {"TOKEN": "${SECRET_SHOP}", "WORD": "${SETTING_WORD}"},
            "volumes": ["data:/data"],
        },
        once={"command": ["/bin/true"], "restart": "no"},
    )

    apps.look()
    made = apps.inspect() if len(apps.containers()) == 1 else None
    apps.look()

    assert made is not None
    assert {f"TOKEN={TOKEN}", "WORD=hi"} <= set(made["Config"]["Env"])
    assert made["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert made["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert (apps.row().status, apps.row().reason, apps.condition()) == ("up", "AsDeclared", True)
    assert apps.inspect()["Id"] == made["Id"]
    with apps.database.begin() as connection:
        kept = connection.execute(text("SELECT managed_apps::text FROM managed_apps")).scalar_one()
    assert TOKEN not in kept

    apps.packs = {}
    apps.look()

    assert apps.containers("--all") == []
    assert apps.engine.docker("network", "ls", "-q", "--filter", f"name={apps.project()}") == ""
    assert apps.engine.docker("volume", "ls", "-q", "--filter", f"name={apps.project()}") != ""
    assert apps.condition() is None


def test_a_killed_a_changed_a_removed_and_a_strange_container_are_mended(apps: Apps) -> None:
    apps.has(web={}, other={})
    apps.look()
    docker = apps.engine.docker
    (web,) = apps.containers("--filter", "label=com.docker.compose.service=web")

    for what, change in {
        "web is exited (137)": lambda web: docker("kill", web),
        "web was changed by hand": lambda web: docker(
            "update", "--memory", "64m", "--memory-swap", "64m", web
        ),
        "web is paused": lambda web: docker("pause", web),
        "web is gone": lambda web: docker("rm", "-f", web),
        "stranger does not belong to it": lambda _: docker(
            "run", "-d", "--label", f"com.docker.compose.project={apps.project()}",
            "--label", "com.docker.compose.service=stranger", apps.image, "/bin/sleep", "600",
        ),
    }.items():  # fmt: skip
        change(web)  # type: ignore[no-untyped-call]  # a lambda
        apps.look()

        assert (apps.row().status, apps.row().reason) == ("up", "Mended"), what
        assert what in apps.row().message
        apps.look()
        assert len(apps.containers()) == 2
        assert what in apps.row().message
        (web,) = apps.containers("--filter", "label=com.docker.compose.service=web")
    memory = json.loads(docker("inspect", web))[0]["HostConfig"]["Memory"]
    assert memory == 0


def test_what_changed_while_nobody_looked_is_found(apps: Apps) -> None:
    apps.has(web={}, old={})
    apps.look()
    before = set(apps.containers())

    apps.has(web={"environment": {"A": "b"}}, new={})
    apps.look()
    changed = set(apps.containers())
    apps.secrets = {"env/SHOP": "another-token"}
    apps.has(web={"environment": {"A": "${SECRET_SHOP}"}})
    apps.look()
    rotated = apps.inspect()
    apps.secrets = {"env/SHOP": "yet-another-token"}
    apps.look()

    assert len(changed) == 2
    assert not changed & before
    assert apps.inspect()["Id"] != rotated["Id"]
    assert "A=yet-another-token" in apps.inspect()["Config"]["Env"]


def test_an_image_whose_name_means_another_one_now_is_taken(apps: Apps) -> None:
    docker = apps.engine.docker
    name = f"xyn-test/{apps.node}:1"
    docker("tag", apps.image, name)
    apps.images = (name,)
    apps.image, first = name, apps.image
    apps.has(web={})
    apps.look()
    assert apps.inspect()["Image"] == first

    other = docker("commit", "--change", "ENV NEW=1", apps.containers()[0], name).strip()
    apps.look()

    assert apps.inspect()["Image"] == other
    assert "image of web" in apps.row().message
    apps.packs = {}
    apps.look()
    docker("image", "rm", "--force", other)


def test_hybrid_is_external_where_its_settings_name_an_endpoint(apps: Apps) -> None:
    apps.has("hybrid", web={})
    apps.look()
    assert len(apps.containers()) == 1

    definition, pack = apps.packs["shop"]
    assert pack is not None
    settings = {"endpoint": "http://shop.example.net"}
    apps.packs = {"shop": (definition, pack.model_copy(update={"settings": settings}))}
    apps.look()

    assert apps.containers("--all") == []


@pytest.mark.parametrize(
    ("service", "secrets", "reason"),
    [
        ({"privileged": True}, {}, "NotAllowed"),
        ({"image": "other:1"}, {}, "ImageNotAllowed"),
        ({"environment": {"A": "${PATH}"}}, {}, "UnknownVariable"),
        ({"environment": {"A": "${SECRET_SHOP}"}}, {}, "SecretMissing"),
    ],
)
def test_what_is_not_allowed_is_not_run_and_what_ran_goes_on(
    apps: Apps, service: dict[str, Any], secrets: dict[str, str], reason: str
) -> None:
    apps.has(web={})
    apps.look()
    before = apps.containers()

    apps.secrets = secrets
    apps.has(web=service)
    apps.look()

    assert (apps.row().status, apps.row().reason) == ("failing", reason)
    assert apps.condition() is False
    assert apps.containers() == before
    apps.has(web={})
    apps.look()
    assert (apps.row().status, apps.containers()) == ("up", before)


def test_a_node_that_may_not_or_stands_still_does_nothing_of_its_own(apps: Apps) -> None:
    apps.has(web={})
    apps.enabled = False
    apps.look()
    assert apps.containers("--all") == []

    apps.enabled = True
    apps.look()
    apps.mode = "shadow"
    apps.packs = {}
    apps.look()
    assert len(apps.containers()) == 1

    apps.mode, apps.enabled = "active", False
    apps.look()
    assert apps.containers("--all") == []


def test_an_engine_that_is_away_is_said_and_asked_again(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps.has(web={})
    with monkeypatch.context() as away:
        away.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
        apps.look()
        assert (apps.row().status, apps.row().reason) == ("failing", "EngineUnavailable")
        assert apps.condition() is False

    apps.look(after=1)

    assert (apps.row().status, len(apps.containers())) == ("up", 1)


def test_an_app_that_does_not_stay_is_tried_less_and_less(apps: Apps) -> None:
    apps.has(web={"command": ["/bin/sh", "-c", "exit 3"], "restart": "no"})
    ids = set()
    for _ in range(12):
        apps.look(after=5)
        ids |= set(apps.containers("--all"))

    assert len(ids) <= 4
    assert apps.row().status == "failing"
    assert "web is exited (3)" in apps.row().message
    assert apps.row().next_try_at is not None


@pytest.mark.parametrize("point", ["apps.noted", "apps.up"])
def test_a_kill_while_an_app_comes_up_leaves_nothing_that_is_not_known(
    apps: Apps, point: str
) -> None:
    apps.has(web={})
    apps.now = dt.datetime.now(dt.UTC)
    apps.killed_at(point)
    before = apps.containers()

    apps.look()

    assert len(before) == (1 if point == "apps.up" else 0)
    assert (apps.row().status, len(apps.containers())) == ("up", 1)
    assert apps.containers() == before or not before

    apps.packs = {}
    apps.look()
    apps.has(web={})
    apps.killed_at(point)
    apps.packs = {}
    apps.look()

    assert apps.containers("--all") == []
