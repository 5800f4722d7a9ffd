"""What a node stands on goes away, or is full, or is broken; then it is well again."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.crash.ledger import BLUEPRINT, Effects, Ledger, prepare, recorded
from tests.running import Node, clean_environment, crowd, git, wait_for
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres
from xyn_reconciler.store.git_maintenance import LOCK_SECONDS

pytestmark = [pytest.mark.crash, pytest.mark.slow]

AWAY_SECONDS = float(os.environ.get("XYN_POSTGRES_AWAY_SECONDS", "10"))
"""60 for as long as issue and README say; what is asserted is the same."""
STOPPED_SECONDS = float(os.environ.get("XYN_STOPPED_SECONDS", "6"))
"""How long a worker is stopped: at least its lease of four seconds."""
KEEP = """\
  - id: keep
    kind: action_task
    action: artifacts.put
    with: {name: kept, text: kept}
    retry: {max_attempts: 20, delay: 1s, backoff: constant}
"""
QUICK_SECONDS = 2.0
"""A sender without a database is told so well before it gives up by itself."""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "pg", tmp_path / "pg-run") as server:
        yield server


def condition(node: Node, kind: str) -> str | None:
    """The message of a condition that is true."""
    for each in node.get("/status")["conditions"]:
        if each["type"] == kind and each["status"]:
            return str(each["message"])
    return None


def worker_of(node: Node) -> psutil.Process:
    (found,) = [process for process in node.family() if process.name() == "xyn-worker"]
    return found


def test_a_postgres_that_is_away_is_said_quickly_and_recovered_from(
    ledger: Ledger, effects: Effects, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    node = ledger.node
    node.environment = {"DATABASE_URL": postgres.url}
    node.start()
    prepare(node, tmp_path, effects)
    ledger.send(10)
    postmaster = int((postgres.cluster / "postmaster.pid").read_text().split()[0])

    os.kill(postmaster, signal.SIGQUIT)  # as pg_ctl stop -m immediate
    wait_for(lambda: not psutil.pid_exists(postmaster))
    ends = time.monotonic() + AWAY_SECONDS
    answers, took = set(), []
    while time.monotonic() < ends:
        began = time.monotonic()
        answers.add(ledger.send())
        took.append(time.monotonic() - began)
        time.sleep(0.2)
    postgres.stop()
    postgres.start()
    assert node.environment["DATABASE_URL"] == postgres.url

    assert answers == {503}
    assert statistics.median(took) < QUICK_SECONDS, took
    ledger.settle()
    ledger.check(effects)
    assert len(ledger.acknowledged) == ledger.asked


def test_what_a_step_did_while_postgres_was_away_is_kept_and_not_done_again(
    ledger: Ledger, effects: Effects, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    node = ledger.node
    node.environment = {"DATABASE_URL": postgres.url}
    node.start()
    once = BLUEPRINT.replace("method: POST}", "method: POST, save_to: answer}")
    once = once.replace('    idempotency_key: "{{ event.data.n }}"\n', "")
    prepare(node, tmp_path, effects, {"blueprints/crash.yaml": once})
    effects.open.clear()
    ledger.send(10)
    wait_for(lambda: effects.seen.total() == 1)

    postgres.stop()
    effects.open.set()
    time.sleep(0.5)  # The answer has come, and nobody takes its bytes in.
    postgres.start()

    (run,) = ledger.runs()
    node.wait_for_run(run["run_id"], "completed")
    found = node.get("/artifacts", run_id=run["run_id"])["items"]
    assert [each["byte_length"] for each in found if each["name"] == "answer"] == [len("ok")]
    assert effects.seen.total() == 1


def test_a_worker_that_was_stopped_beyond_its_lease_writes_nothing_over_another(
    ledger: Ledger, effects: Effects, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    node = ledger.node
    node.environment = {"DATABASE_URL": postgres.url}
    node.start()
    prepare(node, tmp_path, effects)
    effects.open.clear()
    ledger.send(10)
    wait_for(lambda: effects.seen["0"] == 1)
    stale = worker_of(node)

    stale.send_signal(signal.SIGSTOP)
    wakes = time.monotonic() + STOPPED_SECONDS
    environment = {"DATABASE_URL": postgres.url, "XYN_URL": node.url, "XYN_HOME": str(node.home)}
    with subprocess.Popen(
        [sys.executable, "-m", "xyn_reconciler.node.worker_process", "--home", str(node.home)],
        env=clean_environment(**environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as second:
        try:
            wait_for(lambda: effects.seen["0"] == 2)
            effects.open.set()
            (run,) = ledger.runs()
            node.wait_for_run(run["run_id"], "completed")
            before = node.get(f"/runs/{run['run_id']}/steps")
            time.sleep(max(wakes - time.monotonic(), 0))
            stale.send_signal(signal.SIGCONT)
            # The stale one works again, so it has read its answer and was refused by now.
            for _ in range(5):
                ledger.send(10)
            ledger.settle()
        finally:
            effects.open.set()
            second.terminate()

    assert node.get(f"/runs/{run['run_id']}/steps") == before
    assert [step["attempt"] for step in before["items"]] == [1, 2, 1]
    assert stale.is_running()
    ledger.check(effects)


def test_locks_and_half_written_files_of_a_kill_are_swept_and_nothing_waits_for_them(
    ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    node.start()
    prepare(node, tmp_path, effects)
    ledger.send(10)
    ledger.settle()
    node.kill()
    repository = node.home / "state.git"
    runs = next((repository / "refs" / "xyn" / "runs").rglob("2*"), None)
    left = [
        repository / "HEAD.lock",
        repository / "packed-refs.lock",
        repository / "config.lock",
        repository / "refs" / "heads" / "main.lock",
        repository / "objects" / "pack" / "tmp_pack_x",
        *([] if runs is None else [runs.with_name(f"{runs.name}.lock")]),
    ]
    for path in left:
        path.write_bytes(b"half")

    node.start()
    ledger.send(10)
    ledger.settle()

    assert [path for path in left if path.exists()] == []
    ledger.check(effects)


def test_locks_that_a_killed_push_left_hold_up_a_running_node_for_ten_seconds_at_most(
    ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    node.start()
    prepare(node, tmp_path, effects)
    ledger.send(10)
    ledger.settle()
    repository = node.home / "state.git"
    (records,) = (repository / "refs" / "xyn" / "runs").rglob("2*")
    left = [
        repository / "packed-refs.lock",
        repository / "refs" / "heads" / "main.lock",
        records.with_name(f"{records.name}.lock"),
    ]
    for path in left:
        path.write_bytes(b"half")
    began = time.monotonic()

    ledger.send(10)
    ledger.settle()
    (tmp_path / "clone" / "README.md").write_text("Changed.\n")
    git(tmp_path / "clone", "commit", "-q", "-a", "-m", "Change")
    wait_for(
        lambda: (
            git(tmp_path / "clone", "push", "-q", "origin", "HEAD:main", check=False).returncode
            == 0
        )
    )

    assert [path for path in left if path.exists()] == []
    assert time.monotonic() - began < (LOCK_SECONDS + 10) * crowd()
    ledger.check(effects)
    assert node.get("/health")["status"] == "ok"


@pytest.mark.parametrize("what", ["refs/heads/main:node.yaml", "RECORDS^{tree}"])
def test_a_corrupt_object_is_named_within_seconds_and_the_rest_keeps_on(
    ledger: Ledger, effects: Effects, tmp_path: Path, what: str
) -> None:
    node = ledger.node
    node.start()
    prepare(node, tmp_path, effects)
    ledger.send(10)
    ledger.settle()

    broken = spoil(node.home / "state.git", what)

    def said() -> str:
        health = node.get("/health")
        return str(health) if health["status"] == "degraded" else ""

    health = wait_for(said, node.log)
    assert broken in health
    assert broken in (condition(node, "RepositoryDamaged") or "")
    assert broken in page(node, "/ui/health")
    for _ in range(5):
        assert ledger.send(10) == 202
    wait_for(lambda: ledger.statuses()["completed"] == 6, lambda: f"{ledger.runs()}\n{node.log()}")
    assert page(node, "/readyz")
    # Also after a start, when nothing is remembered of what could still be read before.
    node.kill()
    node.start()
    assert broken in wait_for(said, node.log)
    ledger.send(10)
    wait_for(lambda: ledger.statuses()["completed"] == 7, lambda: f"{ledger.runs()}\n{node.log()}")
    assert node.xynctl("doctor", check=False).returncode != 0


def page(node: Node, path: str) -> str:
    answer = httpx2.get(f"{node.url}{path}", trust_env=False)
    assert answer.is_success, answer.text
    return answer.text


def spoil(repository: Path, what: str) -> str:
    """Overwrite an object in place, as a bad disk does; its name."""

    def ask(*arguments: str, check: bool = True) -> str:
        command = ["git", "-c", "safe.directory=*", "--git-dir", str(repository), *arguments]
        done = subprocess.run(command, check=check, capture_output=True, text=True)
        return done.stdout.strip()

    (records,) = ask("for-each-ref", "--format=%(refname)", "refs/xyn/runs/").splitlines()
    name = ask("rev-parse", what.replace("RECORDS", records))
    for pack in (repository / "objects" / "pack").glob("*.idx"):
        for line in ask("verify-pack", "-v", str(pack), check=False).splitlines():
            if line.startswith(name):
                overwrite(pack.with_suffix(".pack"), int(line.split()[4]) + 4)
    loose = repository / "objects" / name[:2] / name[2:]
    if loose.exists():
        overwrite(loose, 0)
    return name


def overwrite(path: Path, offset: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(8))


# ── disks ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], None]]:
    """Mount a disk of so many MB at a folder; only root may."""
    with contextlib.ExitStack() as stack:

        def mount(folder: Path, megabytes: int) -> None:
            for each in (folder.parent, folder):
                each.mkdir(mode=0o700, exist_ok=True)
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", folder],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
            stack.callback(lambda: subprocess.run(["umount", "-l", folder], check=True))

        yield mount


def fill(folder: Path) -> Path:
    """Fill a disk to the last byte with one file."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def test_a_full_disk_below_the_repository_lets_records_wait_and_runs_go_on(
    small_disk: Callable[[Path, int], None], ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    small_disk(node.home / "state.git", 24)
    node.start()
    prepare(node, tmp_path, effects)
    ledger.send(10)
    ledger.settle()

    filler = fill(node.home / "state.git")
    for _ in range(5):
        assert ledger.send(10) == 202
    wait_for(lambda: ledger.statuses()["completed"] == 6, node.log)
    said = wait_for(lambda: condition(node, "RecordsBehind"))
    filler.unlink()

    ledger.settle()
    ledger.check(effects)
    assert "runs go on" in said
    wait_for(lambda: condition(node, "RecordsBehind") is None)
    node.kill()
    assert {status for _, status in recorded(node.home / "state.git")} == {"completed"}


def test_a_full_disk_below_the_artifacts_loses_nothing_that_was_acknowledged(
    small_disk: Callable[[Path, int], None], ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    small_disk(ledger.node.home / "artifacts", 8)

    answers = sent_to_a_full_disk(ledger, effects, tmp_path, "artifacts", events=5, more=KEEP)

    assert answers <= {202, 429, 503}
    wait_for(lambda: set(ledger.statuses()) == {"completed"}, ledger.statuses)
    ledger.settle()
    ledger.check(effects)
    # The step that was to keep something failed for the moment, and kept it once.
    tries = []
    for run in ledger.runs():
        steps = {s["key"]: s for s in ledger.node.get(f"/runs/{run['run_id']}/steps")["items"]}
        tries.append(steps["keep"]["attempt"])
        kept = ledger.node.get("/artifacts", run_id=run["run_id"], kind="output")["items"]
        assert [each["byte_length"] for each in kept] == [len("kept")]
    assert max(tries) > 1


def test_a_full_disk_below_the_database_is_said_and_recovered_from(
    small_disk: Callable[[Path, int], None], ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    small_disk(ledger.node.home / "postgres", 160)

    answers = sent_to_a_full_disk(ledger, effects, tmp_path, "postgres", events=40)

    assert answers <= {202, 429, 503, None}
    ledger.settle(90)
    ledger.check(effects)


def sent_to_a_full_disk(
    ledger: Ledger, effects: Effects, tmp_path: Path, folder: str, *, events: int, more: str = ""
) -> set[int | None]:
    """Start a node, fill a folder of its home for as long as these events are sent; its answers."""
    ledger.node.start()
    prepare(ledger.node, tmp_path, effects, {"blueprints/crash.yaml": BLUEPRINT + more})
    ledger.send(10)
    ledger.settle()
    filler = fill(ledger.node.home / folder)
    answers = {ledger.send() for _ in range(events)}
    time.sleep(1 if more else 0)  # until a step has met it
    filler.unlink()
    return answers
