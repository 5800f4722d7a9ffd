"""``xynctl up``: from a claimed home to a node that answers, and back.

The order is the reverse of the end: Postgres, schema, repository, index,
processes. What the processes need is imported here, once, while Postgres
starts; then each is a fork of this one (:mod:`.child`). So there is one thread
alone from the first fork on, and whoever waits for something meanwhile does it
through ``pause``, which looks after the processes.
"""

import contextlib
import datetime as dt
import gc
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx2

from xyn_reconciler.model.errors import ConflictError, InvalidError, UnavailableError, XynError
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.node.claim import Settings
from xyn_reconciler.node.home import ALL, ROLES, Home
from xyn_reconciler.node.output import Output
from xyn_reconciler.node.supervise import Child, StopSignal, Supervisor
from xyn_reconciler.node.ticket import ensure_key
from xyn_reconciler.store.credentials import Credentials
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres

Say = Callable[[str], None]
Pause = Callable[[float], None]

MODULES: Final = {
    "node": "xyn_reconciler.node.node_process",
    "worker": "xyn_reconciler.node.worker_process",
    "web": "flask_ui.__main__",
}
"""In the order of their start; they end in the reverse one, so the committer is the last to go."""

_HOME_LOCK: Final = "xyn.home"
_NEEDING_A_REPOSITORY: Final = frozenset({"web", "worker"})
_PREPARE: Final = "xyn_reconciler.node.prepare"
_LOOK_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 0.05
_SAY_EVERY_SECONDS: Final = 5.0
_RARELY_SECONDS: Final = 60.0


def up(
    home: Home,
    settings: Settings,
    environment: Mapping[str, str],
    *,
    say: Say,
    on_ready: Callable[[Pause], None],
    stop: StopSignal,
) -> None:
    """Run the node until ``stop`` raises ``KeyboardInterrupt`` or something keeps it from running.

    ``on_ready`` is called once ``/readyz`` is 200, or once the one process of
    a role without pages runs. Everything that was started is stopped again.
    """
    roles = ROLES if settings.role == ALL else (settings.role,)
    modules = {role: module for role, module in MODULES.items() if role in roles}
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(
            _postgres(home, settings.role, environment, say, meanwhile=lambda: _load(modules))
        )
        with Database(postgres.url) as database:
            _wait_for_database(database, say)
            if settings.role in _NEEDING_A_REPOSITORY:
                _wait_for_repository(home, say)
            if "node" in roles:
                stack.enter_context(_only_home(database))
            importlib.import_module(_PREPARE).prepare(home, database, settings.role, say=say)
        ensure_key(home)
        Credentials(home.path).renew_owner_token()
        output = Output(None if environment.get("XYN_LOG") == "stdout" else home.log(settings.role))
        children = [
            Child(role, module, ["--home", str(home.path)]) for role, module in modules.items()
        ]
        supervisor = Supervisor(home, children, output=output, say=say)
        stack.callback(supervisor.stop, stop.hurry)
        stack.callback(say, "stopping")
        supervisor.start(_environment(home, settings, environment, postgres.url))
        if settings.serves:
            home.note_running(settings.url)
            stack.callback(home.forget_running)

        def pause(seconds: float) -> None:
            postgres.keep()
            supervisor.look()
            time.sleep(seconds)

        if settings.serves:
            _wait_until_ready(settings.url, pause, say)
        else:
            pause(_SAY_EVERY_SECONDS / 5)
        supervisor.settle()
        on_ready(pause)
        while True:
            pause(_LOOK_SECONDS)


@contextlib.contextmanager
def open_postgres(home: Home, environment: Mapping[str, str], say: Say) -> Iterator[str]:
    """Give the URL of the node's database for as long as the context lasts.

    ``rebuild``, ``clone``.
    """
    with _postgres(home, ALL, environment, say, meanwhile=lambda: None) as postgres:
        yield postgres.url


class _Postgres:
    """The embedded server, or the one that ``DATABASE_URL`` names and others look after."""

    def __init__(self, url: str, server: EmbeddedPostgres | None, say: Say) -> None:
        self.url = url
        self._server = server
        self._say = say
        self._try_at = 0.0

    def keep(self) -> None:
        """Start the embedded server again if it has gone; tried again until it runs."""
        if self._server is None or self._server.alive() or time.monotonic() < self._try_at:
            return
        self._say("the database has ended; starting it again")
        try:
            self._server.stop()
            self._server.start()
        except XynError as error:
            self._say(error.message)
            self._try_at = time.monotonic() + _SAY_EVERY_SECONDS


@contextlib.contextmanager
def _postgres(
    home: Home,
    role: str,
    environment: Mapping[str, str],
    say: Say,
    *,
    meanwhile: Callable[[], None],
) -> Iterator[_Postgres]:
    """Start the database, and do something else ``meanwhile``."""
    url = environment.get("DATABASE_URL")
    if url:
        say("database: DATABASE_URL")
        meanwhile()
        yield _Postgres(url, None, say)
        return
    if role != ALL:
        raise InvalidError(
            f"--role {role} needs DATABASE_URL: the embedded Postgres belongs to a node "
            "that runs all its processes on one machine"
        )
    server = EmbeddedPostgres(home.postgres, home.run, say=say)
    try:
        with ThreadPoolExecutor(1) as thread:
            started = thread.submit(server.start)
            meanwhile()
            started.result()
        yield _Postgres(server.url, server, say)
    finally:
        server.stop()


def _wait_for_database(database: Database, say: Say) -> None:
    """Return when it answers, saying why it does not yet; ``UnavailableError`` after a minute."""
    until = time.monotonic() + _RARELY_SECONDS
    while True:
        try:
            return database.wait_until_ready(_SAY_EVERY_SECONDS)
        except UnavailableError as error:
            if time.monotonic() > until:
                raise
            say(error.message)


@contextlib.contextmanager
def _only_home(database: Database) -> Iterator[None]:
    """Keep a second home out of the database, also one of the same node id.

    Each would answer pushes from its own repository, and the records would go to
    one of the two. ``ConflictError`` where another home holds the database.
    """
    lock = database.advisory_lock(_HOME_LOCK)
    # The server may need a moment to see that a killed holder has gone.
    if not lock.acquire(_SAY_EVERY_SECONDS):
        raise ConflictError(
            "another home runs its node on this database: stop that one, or give this home a "
            "database of its own (DATABASE_URL)"
        )
    try:
        yield
    finally:
        lock.release()


def _wait_for_repository(home: Home, say: Say) -> None:
    """The node process makes it; the others may be started first."""
    head = home.repository / "HEAD"
    if not head.exists():
        say(f"waiting for the state repository: xynctl up --role node --home {home.path} makes it")
    while not head.exists():
        time.sleep(_LOOK_SECONDS)


def _load(modules: Mapping[str, str]) -> None:
    """Import what the forks will need, and keep it out of the collector's way.

    A collection would touch, and so copy, every page that they share.
    """
    gc.disable()
    for module in (_PREPARE, *modules.values()):
        importlib.import_module(module)
    gc.freeze()
    gc.enable()


def _environment(
    home: Home, settings: Settings, environment: Mapping[str, str], database_url: str
) -> dict[str, str]:
    """What each process finds out from its environment."""
    known = {
        **environment,
        "XYN_HOME": str(home.path),
        "XYN_URL": settings.url,
        "XYN_HOST": settings.host,
        "XYN_PORT": str(settings.port),
        "DATABASE_URL": database_url,
    }
    if settings.role == ALL:
        # Whatever ran before this moment went down with the whole node.
        known["XYN_STARTED_AT"] = isoformat(dt.datetime.now(dt.UTC))
    return known


def _wait_until_ready(url: str, pause: Pause, say: Say) -> None:
    """Return when ``/readyz`` answers 200, naming the reasons while it does not."""
    began = told = time.monotonic()
    with httpx2.Client(timeout=5.0, trust_env=False) as client:
        while True:
            try:
                reasons = _reasons(client, url)
            except UnavailableError as error:
                reasons = [error.message]
            if not reasons:
                return
            now = time.monotonic()
            if now - told > (
                _SAY_EVERY_SECONDS if now - began < _RARELY_SECONDS else _RARELY_SECONDS
            ):
                told = now
                say(f"not ready after {now - began:.0f} s: {'; '.join(reasons)}")
            pause(_ANSWER_SECONDS)


def _reasons(client: httpx2.Client, url: str) -> list[str]:
    try:
        answer = client.get(f"{url}/readyz")
        if answer.status_code == httpx2.codes.OK:
            return []
        return [str(reason) for reason in answer.json()["reasons"]]
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        raise UnavailableError("the web process does not answer yet") from error
