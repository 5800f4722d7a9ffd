"""Make an engine's containers what :mod:`xyn_reconciler.reconcile.managed_apps` decides.

The shell: it looks at the engine, asks compose for what is wanted, notes in the inventory
what came of it. A project is in the inventory before its first container is made, so that
whatever a kill leaves is known and goes with its pack. Secrets are in compose's environment
and in the containers'; never in a file or a row.

The trap: compose may take minutes (it pulls images), and the node has to end in seconds, so
a compose under way is ended with it; the next look begins again.
"""

import datetime as dt
import hashlib
import json
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xyn_reconciler.action.container_engine import engine
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import StepError, UnavailableError
from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.reconcile import managed_apps as pure
from xyn_reconciler.reconcile.managed_apps import App, BringUp, Container, Refused, Say, TakeDown
from xyn_reconciler.store import desired
from xyn_reconciler.store import managed_apps as rows
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.managed_apps import ManagedApp

if TYPE_CHECKING:
    from docker import DockerClient

LOOK_SECONDS: Final = 5.0
LOCK: Final = "xyn.apps"
_UP_SECONDS: Final = 900
_STOP_SECONDS: Final = 10
_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"
_KEPT: Final = (
    *("PATH", "HOME", "XDG_RUNTIME_DIR", "HTTPS_PROXY", "NO_PROXY", "DOCKER_HOST"),
    *("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT"),
)
"""What compose needs of the node's environment; nothing else of it is shown."""

_log = logging.getLogger(__name__)

Active = Mapping[str, tuple[Mapping[str, Any], PlanPack | None]]
"""``pack.yaml`` and the whole pack of each that is active; None for one that works not here."""


class ComposeError(Exception):
    """Compose did not do it; the message is the end of what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedApps:
    """One per node."""

    database: Database
    packs: Callable[[Connection], Active]
    secret: Callable[[str], str | None]
    key: bytes
    """Makes digests of secrets that nobody can guess back."""
    clean: Callable[[str], str]
    """Takes secrets out of what compose says."""
    clock: Callable[[], dt.datetime]

    def run(self, stop: threading.Event) -> None:
        """Look every few seconds, until told to stop; goes on after any failure."""
        lock = self.database.advisory_lock(LOCK)
        try:
            while not stop.wait(LOOK_SECONDS):
                try:
                    if not self._has_apps():
                        lock.release()
                    elif lock.acquire():
                        self.look(stop)
                except UnavailableError as error:
                    _log.warning("apps wait: %s", error.message)
                except Exception:  # noqa: BLE001 - whatever it is, it is logged
                    # One look that fails must not end the loop; the next one tries again.
                    _log.exception("a look at the apps of packs failed")
        finally:
            lock.release()

    def _has_apps(self) -> bool:
        """Whether there is anything to look at: most nodes run no apps, and hold no lock for it."""
        with self.database.read() as connection:
            allowed = (desired.read_node(connection).settings or {}).get("apps", False)
            return bool(allowed) or bool(rows.managed_apps(connection))

    def look(self, stop: threading.Event) -> None:
        """Compare and act once."""
        with self.database.read() as connection:
            settings = desired.read_node(connection).settings or {}
            if settings.get("mode") != "active":
                return
            known = rows.managed_apps(connection)
            if not settings.get("apps") and not known:
                return
            active = self.packs(connection) if settings.get("apps") else {}
        wanted = self._wanted(active, settings)
        if not wanted and not known:
            self._drop_condition()
            return
        now = self.clock()
        projects = {each.project for each in (*wanted.values(), *known.values())}
        try:
            with engine() as client:
                running = _running(client, projects)
                for decision in pure.decide(wanted, known, running, now):
                    if stop.is_set():
                        return
                    self._do(client, decision, known, wanted, stop)
        except StepError as error:
            self._unavailable(wanted, known, error.message)
        self._tell()

    def _wanted(
        self,
        active: Active,
        settings: Mapping[str, Any],
    ) -> dict[str, App | Refused]:
        return {
            pack_id: pure.app_of(
                definition,
                pack,
                node_id=settings["id"],
                images=settings["images"],
                secret=self.secret,
                key=self.key,
            )
            for pack_id, (definition, pack) in active.items()
            if pure.has_app(definition, pack.settings if pack else {})
        }

    def _do(
        self,
        client: "DockerClient",
        decision: pure.Decision,
        known: Mapping[str, ManagedApp],
        wanted: Mapping[str, App | Refused],
        stop: threading.Event,
    ) -> None:
        match decision:
            case TakeDown(pack_id, project):
                _take_down(client, project)
                with self.database.begin() as connection:
                    rows.forget(connection, pack_id)
                _log.info("the app of pack %s is taken down; its volumes stay", pack_id)
            case Say(pack_id):
                self._say(decision, known.get(pack_id), wanted[pack_id].project)
            case BringUp(app):
                self._bring_up(client, decision, known.get(app.pack_id), stop)

    def _say(self, said: Say, before: ManagedApp | None, project: str) -> None:
        now = self.clock()
        row = before or _new(said.pack_id, project, now)
        after = replace(row, status=said.status, reason=said.reason, message=said.message)
        if said.calm:
            after = replace(after, failures=0, next_try_at=None)
        self._save(before, after)

    def _bring_up(
        self,
        client: "DockerClient",
        asked: BringUp,
        before: ManagedApp | None,
        stop: threading.Event,
    ) -> None:
        app, now = asked.app, self.clock()
        row = before or _new(app.pack_id, app.project, now)
        failures = row.failures + 1
        row = replace(
            row,
            status="failing",
            reason=asked.reason,
            message=asked.message,
            failures=failures,
            next_try_at=now + pure.pause(failures),
        )
        self._save(before, row)
        crash_point("apps.noted")
        _log.info("the app of pack %s: %s", app.pack_id, asked.message)
        for container_id in asked.remove:
            client.api.remove_container(container_id, force=True)
        try:
            _compose_up(app, stop)
        except ComposeError as error:
            failed = replace(row, reason="ComposeFailed", message=self.clean(str(error)))
            self._save(row, failed)
            return
        crash_point("apps.up")
        found = _running(client, {app.project}).get(app.project, ())
        services = [
            {"name": each.service, "state": each.state, "fingerprint": each.fingerprint}
            for each in found
        ]
        drifted = asked.reason == "Drifted"
        up = replace(
            row,
            wanted=app.wanted,
            status="up",
            reason="Mended" if drifted else "AsDeclared",
            message=f"mended: {asked.message}" if drifted else "every service is as declared",
            services=services,
        )
        self._save(row, up)

    def _save(self, before: ManagedApp | None, after: ManagedApp) -> None:
        """Write what changed; ``since`` is when the status did, or what was mended."""
        if before is not None and (before.status, before.reason) != (after.status, after.reason):
            after = replace(after, since=self.clock())
        if before != after:
            with self.database.begin() as connection:
                rows.save(connection, after)

    def _unavailable(
        self,
        wanted: Mapping[str, App | Refused],
        known: Mapping[str, ManagedApp],
        message: str,
    ) -> None:
        now = self.clock()
        for pack_id in {*wanted, *known}:
            before = known.get(pack_id)
            row = before or _new(pack_id, wanted[pack_id].project, now)
            self._save(
                before, replace(row, status="failing", reason=pure.UNAVAILABLE, message=message)
            )

    def _tell(self) -> None:
        """Say as a condition of the node how all apps are."""
        with self.database.begin() as connection:
            found = rows.managed_apps(connection)
            if not found:
                desired.drop_condition(connection, "AppsRunning")
                return
            wrong = [
                f"{each.pack_id}: {each.message}" for each in found.values() if each.status != "up"
            ]
            condition = Condition(
                "AppsRunning",
                status=not wrong,
                reason="NotAsDeclared" if wrong else "AsDeclared",
                message="; ".join(wrong) or "the apps of packs run as declared",
                since=self.clock(),
            )
            desired.set_condition(connection, condition)

    def _drop_condition(self) -> None:
        with self.database.begin() as connection:
            desired.drop_condition(connection, "AppsRunning")


def _new(pack_id: str, project: str, now: dt.datetime) -> ManagedApp:
    return ManagedApp(
        pack_id=pack_id,
        project=project,
        wanted="",
        status="failing",
        reason="Declared",
        message="it is not up yet",
        services=[],
        failures=0,
        next_try_at=None,
        since=now,
    )


# ── the engine ───────────────────────────────────────────────────────────────────────────────────


def _running(client: "DockerClient", projects: Collection[str]) -> dict[str, tuple[Container, ...]]:
    found: dict[str, list[Container]] = {}
    meant: dict[str, str | None] = {}
    for project in projects:
        ids = client.api.containers(
            all=True, quiet=True, filters={"label": f"{_PROJECT}={project}"}
        )
        for each in ids:
            told = client.api.inspect_container(each["Id"])
            name = told["Config"]["Image"]
            if name not in meant:
                meant[name] = _image_id(client, name)
            found.setdefault(project, []).append(_container(told, meant[name]))
    return {project: tuple(each) for project, each in found.items()}


def _image_id(client: "DockerClient", name: str) -> str | None:
    """Give what an image's name means now; None where the engine has none of that name."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - half a second: only where apps are

    try:
        return str(client.api.inspect_image(name)["Id"])  # type: ignore[no-untyped-call]  # the SDK has no types
    except ImageNotFound:
        return None


def _container(told: Mapping[str, Any], meant: str | None) -> Container:
    labels, state = told["Config"]["Labels"], told["State"]
    by_hand = [told["Name"], told["HostConfig"], sorted(told["NetworkSettings"]["Networks"])]
    return Container(
        container_id=told["Id"],
        service=labels.get(_SERVICE, ""),
        state=state["Status"],
        exit_code=state["ExitCode"],
        health=(state.get("Health") or {}).get("Status"),
        wanted=labels.get(pure.WANTED_LABEL),
        fingerprint=hashlib.sha256(json.dumps(by_hand, sort_keys=True).encode()).hexdigest(),
        outdated=meant is not None and meant != told["Image"],
    )


def _take_down(client: "DockerClient", project: str) -> None:
    """Stop and remove its containers, then its networks; volumes stay, they are data."""
    label = {"label": f"{_PROJECT}={project}"}
    for each in client.api.containers(all=True, quiet=True, filters=label):
        client.api.stop(each["Id"], timeout=_STOP_SECONDS)
        client.api.remove_container(each["Id"], force=True)
    for each in client.api.networks(filters=label):
        client.api.remove_network(each["Id"])


def _compose_up(app: App, stop: threading.Event) -> None:
    with tempfile.TemporaryDirectory(prefix="xyn-app-") as folder:
        file = Path(folder) / "compose.json"
        file.write_text(json.dumps(app.document))
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        command = [
            *(*_program(), "--project-name", app.project, "--file", str(file)),
            *("up", "--detach", "--remove-orphans", "--no-build"),
        ]
        said = _run(command, {**environment, **app.environment}, Path(folder), stop)
        if said is not None:
            raise ComposeError(said)


def _program() -> list[str]:
    """Give compose as the engine's plugin, or as the program of its own that Debian 12 has."""
    try:
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    except FileNotFoundError:
        return ["docker-compose"]
    return ["docker", "compose"] if asked.returncode == 0 else ["docker-compose"]


def _run(
    command: Iterable[str], environment: Mapping[str, str], folder: Path, stop: threading.Event
) -> str | None:
    """Run it to its end; what it said last where it failed, None where it did not."""
    with (folder / "said").open("w+b") as said:
        try:
            process = subprocess.Popen(
                [*command],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except FileNotFoundError:
            return "there is no docker compose here: install Docker's compose plugin"
        waited = 0.0
        while process.poll() is None:
            if stop.wait(0.1) or waited > _UP_SECONDS:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return "ended before compose was done; it is tried again"
            waited += 0.1
        if process.returncode == 0:
            return None
        said.seek(max(0, said.tell() - 2000))
        return said.read().decode(errors="replace").strip() or "compose failed and said nothing"
