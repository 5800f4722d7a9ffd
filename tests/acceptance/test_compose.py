"""compose.yaml, for real: built, started, looked at from outside, stopped and started again."""

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.docker_engine import CommandError, Engine, base_image, postgres_image
from tests.running import free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

CHECKOUT = Path(__file__).parents[2]
XYNCTL = "import sys; from xyn_reconciler.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Project:
    """A started compose project, in a copy of the checkout with an ``.env`` of its own."""

    engine: Engine
    folder: Path
    port: int
    variables: dict[str, str]

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(self.folder, *arguments, **self.variables)

    def container(self, service: str) -> dict[str, Any]:
        identity = self.compose("ps", "-q", service).strip()
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", identity))[0]
        return found

    def is_healthy(self, service: str) -> bool:
        """What the image's own health check last said."""
        health: str = self.container(service)["State"]["Health"]["Status"]
        return health == "healthy"

    def up(self) -> None:
        try:
            self.compose("up", "--detach")
        except CommandError as error:
            pytest.fail(f"{error}\n{self.compose('logs')}")
        for _ in range(240):
            if self.status("/readyz") == 200 and self.is_healthy("xyn"):
                return
            time.sleep(0.5)
        pytest.fail(f"not ready:\n{self.compose('ps')}\n{self.compose('logs')}")

    def status(self, path: str, host: str = "127.0.0.1") -> int:
        try:
            return self.open(path, host=host)[0]
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def open(self, path: str, body: Any = None, host: str = "127.0.0.1") -> tuple[int, Any]:  # noqa: ANN401 - JSON
        request = urllib.request.Request(
            f"http://{host}:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(text) if is_json else text


@pytest.fixture(scope="module")
def project(
    shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """The project, built and ready; everything is removed afterwards, volumes too."""
    folder = tmp_path_factory.mktemp("compose") / f"xyn{uuid.uuid4().hex[:8]}"
    copy_checkout(folder)
    port = free_port()
    base = base_image(shared_engine, request.config.cache.mkdir("debian"))
    variables = {
        "XYN_IMAGE": f"xyn-test/{folder.name}",
        "XYN_PYTHON_IMAGE": base,
        "XYN_POSTGRES_IMAGE": postgres_image(
            shared_engine, base, folder.with_name("postgres-image")
        ),
        "XYN_PORT": str(port),
    }
    subprocess.run([sys.executable, "-c", XYNCTL, "preflight"], cwd=folder, check=True)
    project = Project(shared_engine, folder, port, variables)
    project.compose("build")
    try:
        project.up()
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "30")
        shared_engine.docker("rmi", "--force", variables["XYN_IMAGE"])


def copy_checkout(folder: Path) -> None:
    """What a clone holds of that which the image is built of, and compose.yaml."""
    for name in ("xyn_reconciler", "flask_ui", "state-repo-template"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
    for name in ("compose.yaml", "Dockerfile", ".dockerignore", "pyproject.toml", "README.md",
                 "requirements.lock", "requirements-build.lock"):  # fmt: skip
        shutil.copy(CHECKOUT / name, folder)


def test_both_loopback_addresses_answer(project: Project) -> None:
    assert project.status("/readyz", "127.0.0.1") == 200
    assert project.status("/readyz", "[::1]") == 200


def test_ports_are_published_on_loopback_alone(project: Project) -> None:
    published = {
        binding["HostIp"]
        for service in ("xyn", "postgres")
        for bindings in project.container(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }

    assert published == {"127.0.0.1", "::1"}


@pytest.mark.parametrize("service", ["xyn", "postgres"])
def test_a_container_runs_as_an_ordinary_user_and_writes_only_its_volume(
    project: Project, service: str
) -> None:
    container = project.container(service)

    user = project.engine.docker("exec", container["Id"], "id", "-u").strip()
    assert user != "0"
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert project.is_healthy(service)


def test_what_was_taken_in_is_still_there_after_down_and_up(project: Project) -> None:
    name = f"compose.kept.n{uuid.uuid4().hex[:8]}"
    status, _ = project.open("/api/v1/events", {"event_name": name, "data": {}})
    assert status == 201

    project.compose("down", "--timeout", "30")
    project.up()

    _, page = project.open(f"/api/v1/events?event_name={name}")
    assert [event["event_name"] for event in page["items"]] == [name]
