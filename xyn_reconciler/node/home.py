"""A home: the folder that is one node.

``state.git``, ``postgres/``, ``artifacts/`` and ``run/`` (what lives as long as
the processes do) stand below it, and ``node-id``, which picks this node's own
definition in the repository. Everything in it is for its owner alone.
"""

import contextlib
import fcntl
import json
import os
import shlex
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import ConflictError, NotFoundError, UnavailableError
from xyn_reconciler.node.identity import identity, pid_of

DEFAULT: Final = ".xyn"
ALL: Final = "all"
ROLES: Final = ("web", "worker", "node")


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home; nothing is made before :meth:`create`."""

    path: Path

    @property
    def repository(self) -> Path:
        return self.path / "state.git"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def mirrored(self) -> Path:
        """What was pushed to the mirrors, as far as this home knows."""
        return self.path / "mirrored.json"

    @property
    def age_key(self) -> Path:
        """What opens this node's secrets, as ``age-keygen`` writes it; it is in no repository."""
        return self.path / "age.key"

    def log(self, role: str) -> Path:
        """What the processes of a start print (``all.log``; before that, ``all.log.1``)."""
        return self.run / f"{role}.log"

    def create(self) -> None:
        """Make the folders, each for its owner alone; those that are there keep their mode.

        Raises ``UnavailableError`` where this user may not, or something else is there.
        """
        try:
            for folder in (self.path, self.artifacts, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Below a clone it is in nobody's way, and no `git add` takes it in.
            with (self.path / ".gitignore").open("a", encoding="utf-8") as ignore:
                if ignore.tell() == 0:
                    ignore.write("*\n")
        except OSError as error:
            raise UnavailableError(
                f"{self.path} cannot be a node's home: {error.strerror} ({error.filename}); "
                "name another folder: --home DIR"
            ) from error

    def node_id(self) -> str | None:
        """Give the id that picks this node's definition; ``None``: that of ``node.yaml``."""
        try:
            return (self.path / "node-id").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def set_node_id(self, node_id: str) -> None:
        write_private(self.path / "node-id", f"{node_id}\n")

    def origin(self) -> str | None:
        """Give the URL that this home was cloned from, ``None`` for a node of its own."""
        try:
            return (self.path / "origin").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def set_origin(self, url: str) -> None:
        write_private(self.path / "origin", f"{url}\n")

    @contextlib.contextmanager
    def lock(self, role: str = ALL) -> Iterator[None]:
        """Hold the home for one ``xynctl up``, ``rebuild`` or ``clone``.

        The kernel frees it at any death.

        ``all`` holds it against everyone, ``web`` and ``node`` against ``all``
        and their like, ``worker`` against ``all``: there may be several.
        Raises ``ConflictError`` that names the holder while another has it.
        """
        with contextlib.ExitStack() as stack:
            for name in ROLES if role == ALL else (role,):
                stack.enter_context(self._lock_role(name, shared=role == "worker"))
            yield

    @contextlib.contextmanager
    def _lock_role(self, role: str, *, shared: bool) -> Iterator[None]:
        with (self.path / f".lock-{role}").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                message = (
                    f"{self.path} is in use by {holder}; stop it first (Ctrl-C in its terminal)"
                )
                raise ConflictError(message) from None
            file.seek(0)
            file.truncate()
            file.write(f"pid {os.getpid()}")
            file.flush()
            yield

    def note_running(self, url: str) -> None:
        """Note that this process's node answers at ``url``, for ``xynctl`` in other terminals."""
        facts = {"url": url, "process": identity(os.getpid())}
        write_private(self._running, json.dumps(facts, indent=1))

    def running(self) -> str:
        """Give the URL of the node that runs here.

        ``NotFoundError`` names the command that starts one. What a killed node
        left does not count: another may answer on its port by now.
        """
        try:
            facts = json.loads(self._running.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            facts = None
        except PermissionError:
            raise UnavailableError(f"{self.path} belongs to another user") from None
        if facts is None or identity(pid_of(facts["process"])) != facts["process"]:
            command = f"xynctl up --home {shlex.quote(str(self.path))}"
            raise NotFoundError(f"no node runs in {self.path}; start it: {command}")
        return str(facts["url"])

    def forget_running(self) -> None:
        self._running.unlink(missing_ok=True)

    @property
    def _running(self) -> Path:
        return self.run / "node.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
