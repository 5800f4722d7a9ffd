"""`xynctl up` where it is not easy: odd places, early signals, roles apart, other addresses."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.neighbours import neighbour
from tests.running import XYNCTL, Node, clean_environment, free_port, git, wait_for
from xyn_reconciler.node.home import Home

pytestmark = pytest.mark.acceptance


def up(home: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Try to start a node that cannot start."""
    return subprocess.run(
        [*XYNCTL, "up", "--home", str(home), *words],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_home_may_lie_anywhere_and_ends_without_a_trace(
    tmp_path: Path, make_node: Callable[..., Node]
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    node = make_node("private/ein Ort mit Ümläuten & 'Zeichen'" + " und noch mehr davon" * 4)
    node.start()
    family = node.family()

    run = node.run_of(node.emit("demo.hello"))
    node.wait_for_run(run["run_id"], "completed")
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    (tmp_path / "clone" / "prompts" / "new.md").write_text("New\n")
    git(tmp_path / "clone", "add", "--all")
    git(tmp_path / "clone", "commit", "-q", "-m", "Write")
    git(tmp_path / "clone", "push", "-q")
    assert node.stop() == 0

    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert private.stat().st_mode & 0o777 == 0o700
    assert not (node.home / "run" / "node.json").exists()
    assert not list((node.home / "run").glob("*.processes.json"))
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{node.url}/healthz", trust_env=False)


@pytest.mark.parametrize("moment", [0.3, 1.0, 2.5])
def test_an_early_sigterm_ends_a_start_in_order(tmp_path: Path, moment: float) -> None:
    process = subprocess.Popen(
        [*XYNCTL, "up", "--home", str(tmp_path / "home"), "--port", str(free_port())],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((tmp_path / "home" / ".lock-web").exists)
    time.sleep(moment)
    family = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 0, said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_another_address_without_a_token_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = up(tmp_path / "home", "--port", str(free_port()), "--host", "0.0.0.0")  # noqa: S104 - it is refused

    assert done.returncode == 2
    assert "XYN_TOKEN" in done.stderr
    assert not (tmp_path / "home").exists()


def test_another_address_with_a_token_asks_everyone_for_it(make_node: Callable[..., Node]) -> None:
    token = "a-token-of-enough-length"
    node = make_node("home", XYN_HOST="0.0.0.0", XYN_TOKEN=token).start()  # noqa: S104 - guarded

    without = httpx2.get(f"{node.url}/api/v1/runs", trust_env=False)
    listed = node.xynctl("run", "list", "-o", "json")

    assert without.status_code == 401
    assert listed.stdout.strip() == "[]"
    assert node.stop() == 0


def test_a_process_that_cannot_start_tells_the_person_why(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    (home.run / "ticket.key").mkdir()

    done = up(home.path, "--port", str(free_port()))

    assert done.returncode == 1
    assert "process cannot start:" in done.stderr
    assert "ticket.key" in done.stderr
    assert done.stdout == ""


def test_roles_run_apart_on_one_home_and_a_second_worker_helps(
    tmp_path: Path, database_url: str, make_node: Callable[..., Node]
) -> None:
    def role(name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*XYNCTL, "up", "--role", name, "--home", str(web.home), "--port", str(web.port)],
            env=clean_environment(DATABASE_URL=database_url),
            stderr=subprocess.DEVNULL,
        )

    web = make_node("home", DATABASE_URL=database_url)
    others = [role("worker"), role("worker"), role("node")]
    try:
        web.start("--role", "web")
        git(tmp_path, "clone", "-q", web.git_url, "clone")
        (tmp_path / "clone" / "prompts" / "new.md").write_text("New\n")
        git(tmp_path / "clone", "add", "--all")
        git(tmp_path / "clone", "commit", "-q", "-m", "Write")
        git(tmp_path / "clone", "push", "-q")
        first = web.run_of(web.emit("demo.hello"))
        web.wait_for_run(first["run_id"], "completed")
        others[0].kill()
        second = web.run_of(web.emit("demo.hello"))

        assert web.wait_for_run(second["run_id"], "completed")
        assert not (web.home / "postgres").exists()
        assert up(web.home, "--port", str(free_port()), DATABASE_URL=database_url).returncode == 4
        assert up(web.home, "--role", "worker").returncode == 2
    finally:
        for process in others:
            process.terminate()
        codes = [process.wait(30) for process in others]
    assert codes[1:] == [0, 0]


def test_an_embedded_server_is_not_needed_where_database_url_names_one(
    database_url: str, make_node: Callable[..., Node]
) -> None:
    node = make_node("home", DATABASE_URL=database_url).start("--demo")

    assert not (node.home / "postgres").exists()
    assert node.get("/status")["ready"]


def test_a_second_home_of_the_same_node_stays_out_of_its_database(
    database_url: str, make_node: Callable[..., Node]
) -> None:
    first = make_node("home", DATABASE_URL=database_url).start()

    second = up(first.home.parent / "second", "--port", str(free_port()), DATABASE_URL=database_url)

    assert second.returncode == 4
    assert "another home runs its node on this database" in second.stderr
    assert first.get("/status")["ready"]
    assert first.stop() == 0
    assert make_node("home", DATABASE_URL=database_url).start().stop() == 0


def test_doctor_names_a_command_that_opens_the_rows(node: Node, tmp_path: Path) -> None:
    neighbour("psql", "postgres")
    (line,) = [each for each in node.xynctl("doctor").stdout.splitlines() if " rows " in each]
    command = line.partition(" rows ")[2].strip()

    done = subprocess.run(
        ["sh", "-c", f'{command} -tAc "$1"', "sh", "SELECT run_id FROM runs"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert {run["run_id"] for run in node.get("/runs")["items"]} <= set(done.stdout.split())
