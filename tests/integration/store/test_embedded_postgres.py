import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url, text

from xyn_reconciler.model.errors import ConflictError, UnavailableError
from xyn_reconciler.store import postgres_watcher
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.embedded_postgres import DATABASE, EmbeddedPostgres

LONG = 30.0

START_AND_HANG = """
import sys, threading
from pathlib import Path
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres

home = Path(sys.argv[1])
server = EmbeddedPostgres(home / "postgres", home / "run")
print(server.start(), flush=True)
threading.Event().wait()
"""

START_AS_ROOT_WITHOUT_NAMESPACES = """
import sys
from pathlib import Path

Path("/proc/sys/user/max_user_namespaces").write_text("0")

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres

home = Path(sys.argv[1])
try:
    EmbeddedPostgres(home / "postgres", home / "run").start()
except UnavailableError as error:
    print(error)
"""


def embedded(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home / "postgres", home / "run")


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    server = embedded(home)
    yield server
    server.stop()


@pytest.fixture
def supervisor(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that started a server, so that it can be killed."""
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_HANG, str(home)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        write(process.stdout.readline().strip())
        yield process
        process.kill()
    gone(descendants_in(home))


def write(url: str) -> None:
    with Database(url) as database, database.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 42 AS n"))


def read(url: str) -> object:
    with Database(url) as database, database.begin() as connection:
        return connection.execute(text("SELECT n FROM kept")).scalar_one()


def descendants_in(home: Path) -> list[psutil.Process]:
    """Every process that works somewhere below a home: watcher, postmaster, backends."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd().startswith(str(home)):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def gone(processes: list[psutil.Process]) -> None:
    _, living = psutil.wait_procs(processes, timeout=LONG)
    assert living == []


def socket_of(server: EmbeddedPostgres) -> Path:
    host = make_url(server.url).query["host"]
    assert isinstance(host, str)
    return Path(host) / ".s.PGSQL.5432"


def watcher_in(home: Path) -> psutil.Process:
    found = []
    for process in descendants_in(home):
        with contextlib.suppress(psutil.NoSuchProcess):  # a backend comes and goes
            if process.name() != "postgres":
                found.append(process)
    (watcher,) = found
    return watcher


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_second_start_finds_what_the_first_one_kept(server: EmbeddedPostgres) -> None:
    write(server.start())
    assert server.alive()
    server.stop()
    assert not server.alive()

    assert read(server.start()) == 42


def test_starting_what_runs_gives_the_same_url(server: EmbeddedPostgres) -> None:
    url = server.start()
    watcher = watcher_in(server.data_dir)

    assert server.start() == url == server.url
    assert watcher in descendants_in(server.data_dir)


def test_it_is_reached_by_its_user_over_the_socket_and_by_the_password_alone(
    server: EmbeddedPostgres, home: Path
) -> None:
    url = make_url(server.start())

    watcher = watcher_in(home)
    (postmaster,) = watcher.children()
    assert postmaster.net_connections(kind="inet") == []
    assert [each.laddr for each in postmaster.net_connections(kind="unix")]
    for folder in (server.data_dir, server.cluster, socket_of(server).parent):
        assert mode(folder) == 0o700
    for file in (server.data_dir / "password", server.log):
        assert mode(file) == 0o600
    with pytest.raises(UnavailableError), Database(str(url.set(password="guessed"))).begin():
        pass


def test_it_is_durable_and_plain(server: EmbeddedPostgres) -> None:
    with Database(server.start()) as database, database.connect() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("fsync", "synchronous_commit", "data_checksums", "server_encoding")
        }

    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }


def test_what_a_statement_holds_does_not_reach_the_log(server: EmbeddedPostgres) -> None:
    with Database(server.start()) as database:
        for statement in (
            "SELECT 'hunter2' FROM nowhere",
            "DO $$ BEGIN RAISE EXCEPTION 'x' USING DETAIL = 'hunter2'; END $$",
        ):
            with pytest.raises(Exception, match="hunter2"), database.begin() as connection:
                connection.execute(text(statement))

    log = server.log.read_text()
    assert 'relation "nowhere" does not exist' in log
    assert "hunter2" not in log


def test_it_ends_when_its_parent_is_killed(supervisor: subprocess.Popen[str], home: Path) -> None:
    running = descendants_in(home)
    assert len(running) > 2

    supervisor.kill()

    gone(running)
    assert not (home / "postgres" / "data" / "postmaster.pid").exists(), "it stopped in order"
    with embedded(home) as server:
        assert read(server.url) == 42


def test_a_start_at_once_after_the_parent_was_killed_waits_for_the_old_server(
    supervisor: subprocess.Popen[str], home: Path
) -> None:
    supervisor.kill()
    supervisor.wait()

    with embedded(home) as server:
        assert read(server.url) == 42


def test_killed_all_at_once_it_starts_again_with_what_was_committed(
    supervisor: subprocess.Popen[str], home: Path
) -> None:
    running = descendants_in(home)
    for process in [psutil.Process(supervisor.pid), *running]:
        process.suspend()
    for process in [psutil.Process(supervisor.pid), *running]:
        process.kill()
    gone(running)
    assert (home / "postgres" / "data" / "postmaster.pid").exists()

    with embedded(home) as server:
        assert read(server.url) == 42


def test_a_server_that_nobody_watches_any_more_is_ended_first(
    server: EmbeddedPostgres, home: Path
) -> None:
    write(server.start())
    server.stop()
    said: list[str] = []
    command = [
        *(sys.executable, "-I", "-S", postgres_watcher.__file__),
        *(str(65534) if os.geteuid() == 0 else "-", str(binaries() / "postgres")),
        *("-D", str(server.cluster), "-c", "listen_addresses=", "-k", str(home)),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as forgotten:
        assert forgotten.stderr is not None
        for line in forgotten.stderr:
            if b"ready to accept" in line:
                break
        threading.Thread(target=forgotten.stderr.read, daemon=True).start()

        again = EmbeddedPostgres(home / "postgres", home / "run", say=said.append)
        with again:
            assert read(again.url) == 42

    assert said == ["ended the database that the previous start left"]


def binaries() -> Path:
    from xyn_reconciler.store.embedded_postgres import _binaries  # noqa: PLC0415 - one test's

    return _binaries()


@pytest.mark.parametrize("victim", ["watcher", "postmaster"])
def test_a_killed_part_is_noticed_and_the_next_start_mends_it(
    server: EmbeddedPostgres, home: Path, victim: str
) -> None:
    write(server.start())
    running = descendants_in(home)
    watcher = next(process for process in running if process.name() != "postgres")
    (postmaster,) = watcher.children()

    (watcher if victim == "watcher" else postmaster).kill()

    gone([watcher])
    assert not server.alive()
    assert read(server.start()) == 42
    assert server.alive()
    gone(running)


def test_ctrl_c_at_the_terminal_is_left_to_the_supervisor(
    server: EmbeddedPostgres, home: Path
) -> None:
    server.start()

    groups = {os.getpgid(process.pid) for process in descendants_in(home)}
    assert os.getpgid(0) not in groups


def test_a_pid_file_that_names_somebody_else_hinders_nothing(
    server: EmbeddedPostgres, home: Path
) -> None:
    write(server.start())
    server.stop()
    stale = f"{os.getpid()}\n{server.cluster}\n1700000000\n5432\n{home}\n\n  1 1\nready\n"
    (server.cluster / "postmaster.pid").write_text(stale)
    socket = socket_of(server)
    socket.parent.mkdir(exist_ok=True)
    socket.with_name(f"{socket.name}.lock").write_text(stale)

    assert read(server.start()) == 42


def test_a_preparation_that_was_killed_is_begun_afresh(
    server: EmbeddedPostgres, home: Path
) -> None:
    unfinished = home / "postgres" / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    server.start()

    assert not unfinished.exists()


def test_two_starts_in_one_folder_do_not_meet(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()

    with pytest.raises(ConflictError, match=f"is used by process {os.getpid()}"):
        embedded(home).start()

    write(url)
    assert read(url) == 42


def test_two_homes_beside_each_other_do_not_meet(tmp_path: Path) -> None:
    with embedded(tmp_path / "one") as one, embedded(tmp_path / "two") as two:
        write(one.url)

        with Database(two.url) as database, database.connect() as connection:
            assert connection.execute(text("SELECT to_regclass('kept')")).scalar_one() is None
        assert one.url != two.url


@pytest.mark.parametrize(
    "name",
    ["deep/" * 30, 'it\'s a "home", with, commas ünd %40 + blanks'],
    ids=["too long for a socket", "odd characters"],
)
def test_a_home_may_lie_anywhere(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with embedded(tmp_path / name) as server:
        write(server.url)

        assert read(server.url) == 42
        folder = socket_of(server).parent
        assert mode(folder) == mode(folder.parent) == 0o700
    assert not folder.exists(), "nothing stays outside the home"


def test_a_home_behind_a_link_is_the_same_home(tmp_path: Path, home: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    with embedded(home) as server:
        write(server.url)

    with embedded(tmp_path / "link") as server:
        assert read(server.url) == 42


def test_no_permission_outside_the_home_is_touched(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir(mode=0o700)
    (above / "shared").mkdir()
    (above / "shared").chmod(0o751)

    with embedded(above / "shared" / "home") as server:
        write(server.url)

    assert mode(above) == 0o700
    assert mode(above / "shared") == 0o751


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can enter what is not its own")
def test_root_may_use_a_private_folder_of_somebody_else(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    os.chown(private, 12345, 12345)

    with embedded(private / "home") as server:
        write(server.url)
        assert read(server.url) == 42

    assert mode(private) == 0o700
    assert {path.stat().st_uid for path in (private / "home").rglob("*")} == {0}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can enter what is not its own")
def test_root_may_also_have_its_programs_in_a_private_folder_of_somebody_else(
    tmp_path: Path,
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    program = private / "program"
    program.touch(mode=0o755)
    os.chown(private, 12345, 12345)
    look = "import os, sys; sys.exit(0 if os.access(sys.argv[1], os.R_OK | os.X_OK) else 1)"
    watcher = [sys.executable, "-I", "-S", postgres_watcher.__file__, "65534"]

    with subprocess.Popen(
        [*watcher, sys.executable, "-c", look, str(program)], cwd=private, stdin=subprocess.PIPE
    ) as looking:
        assert looking.wait(20) == 0


def test_a_dropped_database_is_made_again_empty(server: EmbeddedPostgres) -> None:
    url = make_url(server.start())
    maintenance = Database(url.set(database="postgres").render_as_string(hide_password=False))
    with maintenance, maintenance.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text(f"DROP DATABASE {DATABASE} WITH (FORCE)"))
    server.stop()

    with Database(server.start()) as database:
        database.wait_until_ready(0)


def test_another_major_version_is_refused_in_one_sentence(
    server: EmbeddedPostgres, home: Path
) -> None:
    cluster = home / "postgres" / "data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("17\n")

    with pytest.raises(ConflictError, match="written by Postgres 17, this is Postgres 18"):
        server.start()
    assert (cluster / "PG_VERSION").read_text() == "17\n"


def test_a_failed_start_shows_why_and_leaves_nothing_behind(home: Path) -> None:
    server = EmbeddedPostgres(home / "postgres", home / "run", settings={"work_mem": "plenty"})

    with pytest.raises(UnavailableError, match='invalid value for parameter "work_mem"') as caught:
        server.start()

    assert str(server.log) in str(caught.value)
    assert descendants_in(home) == []
    with embedded(home):
        pass


def test_a_lost_password_is_said_not_guessed(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.data_dir / "password").unlink()

    with pytest.raises(UnavailableError, match="password is gone"):
        server.start()


def test_the_first_start_says_what_takes_long(home: Path) -> None:
    said: list[str] = []

    for _ in range(2):
        with EmbeddedPostgres(home / "postgres", home / "run", say=said.append):
            pass

    assert said == ["preparing the database (first start)"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="util-linux makes the namespace")
def test_root_without_user_namespaces_is_told_what_to_do(home: Path) -> None:
    unshare = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no user namespace can be made here")

    told = subprocess.run(
        [*unshare, sys.executable, "-c", START_AS_ROOT_WITHOUT_NAMESPACES, str(home)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert "DATABASE_URL" in told
    assert "as a normal user" in told
    assert told.count("\n") == 1


def test_the_watcher_stops_its_server_on_a_terminate_signal(
    server: EmbeddedPostgres, home: Path
) -> None:
    server.start()
    running = descendants_in(home)
    watcher = next(process for process in running if process.name() != "postgres")

    watcher.send_signal(signal.SIGTERM)

    gone(running)
    assert not server.alive()
