"""The wheel, installed alone: what a person has who never saw the checkout."""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours import lacking
from tests.running import START_SECONDS, clean_environment, free_port, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

CHECKOUT = Path(__file__).parents[2]


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def uv() -> str:
    """The uv that made this environment: beside its Python, else on PATH."""
    here = Path(sys.executable).parent
    found = shutil.which("uv", path=f"{here}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        lacking("no uv here: make setup brings it")
    return found


def outside() -> dict[str, str]:
    """The environment without what would lead back to the checkout."""
    return {k: v for k, v in clean_environment().items() if not k.startswith("PYTHON")}


def run(*command: str | Path, folder: Path) -> str:
    """Run a command away from the checkout; answer what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=outside(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Xyn's wheel, built of this checkout with the pinned build tools."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", folder,
        folder=CHECKOUT,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ``bin`` of an environment that holds the wheel and what is pinned, nothing else."""
    folder = tmp_path_factory.mktemp("a person's folder")
    python = folder / "env" / "bin" / "python"
    run(uv(), "venv", "--quiet", "--python", sys.executable, "env", folder=folder)
    run(
        uv(), "pip", "install", "--quiet", "--python", python, "--require-hashes",
        "-r", CHECKOUT / "requirements.lock",
        folder=folder,
    )  # fmt: skip
    run(uv(), "pip", "install", "--quiet", "--python", python, "--no-deps", wheel, folder=folder)
    yield python.parent
    shutil.rmtree(folder)


def test_the_wheel_holds_every_file_of_the_packages_and_of_the_template(wheel: Path) -> None:
    expected = {
        f"{package}/{name}"
        for package, folder in {
            "xyn_reconciler": "xyn_reconciler",
            "flask_ui": "flask_ui",
            "xyn_reconciler/state_repo_template": "state-repo-template",
        }.items()
        for name in files_below(CHECKOUT / folder)
    }

    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert held == expected


def test_the_installed_template_is_the_checkouts(installed: Path, tmp_path: Path) -> None:
    names = run(
        installed / "python", "-c",
        "from xyn_reconciler.template import template_files\n"
        "for name, data in template_files(): print(name, len(data))",
        folder=tmp_path,
    )  # fmt: skip

    template = CHECKOUT / "state-repo-template"
    assert names.splitlines() == [
        f"{name} {(template / name).stat().st_size}" for name in sorted(files_below(template))
    ]


def test_the_installed_command_knows_its_version(installed: Path, tmp_path: Path) -> None:
    assert "0.1.0" in run(installed / "xynctl", "version", folder=tmp_path)


def test_the_installed_command_brings_a_node_up_and_takes_it_down(
    installed: Path, tmp_path: Path
) -> None:
    port = free_port()
    home = tmp_path / "home"
    command: list[str | Path] = [installed / "xynctl", "up", "--home", home, "--port", str(port)]
    printed = tmp_path / "printed"
    with printed.open("wb") as output:
        node = subprocess.Popen(
            command, cwd=tmp_path, env=outside(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(
            lambda: (
                node.poll() is not None or f"ready http://127.0.0.1:{port}" in printed.read_text()
            ),
            printed.read_text,
            seconds=START_SECONDS,
        )
        assert node.poll() is None, printed.read_text()

        pages = [
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).status
            for path in ("/readyz", "/ui/events", "/api/v1/openapi.json")
        ]
    finally:
        node.send_signal(signal.SIGINT)
        ended = node.wait(timeout=60)

    assert pages == [200, 200, 200]
    assert ended == 0, printed.read_text()


def test_pins_name_no_place_and_every_package_has_a_hash() -> None:
    for name in ("requirements.lock", "requirements-build.lock", "requirements-dev.lock"):
        lines = (CHECKOUT / name).read_text().splitlines()

        assert not [
            line for line in lines if "://" in line or line.startswith("-") or " @ " in line
        ]
        pinned = [number for number, line in enumerate(lines) if "==" in line and line[0] != " "]
        assert pinned
        assert all(lines[number + 1].startswith("    --hash=sha256:") for number in pinned)
