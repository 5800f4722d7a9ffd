"""What every verb works on; ``node`` opens one for each process."""

import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.review.merged import Merging
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.credentials import Credentials
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.node_secrets import NodeSecrets
from xyn_reconciler.trigger.intake import Intake


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Ruled(Protocol):
    """What it takes to ask policy: a worker has this, and not the rest of a context."""

    @property
    def database(self) -> Database: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def clock(self) -> Callable[[], dt.datetime]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The stores of one node as one process has them open."""

    database: Database
    repository: Repository
    artifacts: ArtifactStore
    credentials: Credentials
    intake: Intake
    reconciler: Reconciler
    merging: Merging
    catalogue: Catalogue
    redactor: Redactor
    home: Path
    url: str
    """Where the node answers: ``http://127.0.0.1:8080``."""
    secrets: NodeSecrets
    secret: Callable[[str], str | None]
    """Resolves a secret reference such as ``env/NAME``; ``None`` where none can be had here."""
    ticket: Callable[[Principal], str]
    """Gives a one-time ticket that stands for a principal in a push over HTTP."""
    origin: str | None = None
    """The address that this home was cloned from."""
    origin_bytes: Callable[[str], AbstractContextManager[BinaryIO]] | None = None
    """Opens the bytes of a sha256 at the origin, where that is a node: ``NotFoundError`` where it
    has none, ``UnavailableError`` where it does not answer."""
    clock: Callable[[], dt.datetime] = utc_now
    started_at: dt.datetime = field(default_factory=utc_now)
