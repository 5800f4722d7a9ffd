"""The log of a run: its lines, and the file that they become (seed 32.1).

One artifact a run, written anew with all that was before whenever the run waits
or ends. The lines of one claim are kept in memory: those of a worker that dies
are lost with it.
"""

import datetime as dt
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeAlias

from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.run import limits
from xyn_reconciler.run.crew import Crew
from xyn_reconciler.run.execute import Redactor
from xyn_reconciler.store.artifact_shelf import ShelfAwayError
from xyn_reconciler.store.artifacts import ArtifactStore

logger = logging.getLogger(__name__)

LOG_NAMESPACE: Final = uuid.UUID("0f4b5a3e-5a0f-4f0c-8c53-3d6f7f0b9a21")

Stored: TypeAlias = tuple[str, int]
"""The sha256 and the length of a log's bytes."""


def log_artifact_id(run_id: uuid.UUID) -> uuid.UUID:
    """The id of a run's log: one artifact a run, complete when the run ends."""
    return uuid.uuid5(LOG_NAMESPACE, str(run_id))


class RunLog:
    """Lines since the run was taken up, after ``before``: the sha256 of what was kept till then."""

    def __init__(
        self, run_id: uuid.UUID, correlation_id: str, redactor: Redactor, before: str | None
    ) -> None:
        self.run_id = run_id
        self._correlation_id = correlation_id
        self._redactor = redactor
        self._before = before
        self.last = False
        """Whether the run has ended: nothing is written after these."""
        self._lines: list[tuple[dt.datetime, str | None, str]] = []

    def add(self, now: dt.datetime, step: str | None, message: str) -> None:
        self._lines.append((now, step, message))

    def __len__(self) -> int:
        return len(self._lines)

    def cut(self, length: int) -> None:
        """Forget the lines after the first ``length``."""
        del self._lines[length:]

    def store(self, artifacts: ArtifactStore) -> Stored | None:
        """Store the log so far; ``None``, with a word in the node's log, where that fails."""
        try:
            before = self._kept_before(artifacts)
            content = before + self._written(limits.MAX_LOG - len(before))
            # The committer makes it durable, together with the record that names it.
            return artifacts.keep_log(content, last=self.last)
        except OSError as error:
            # A full disk must not keep runs from ending.
            ids = {"correlation_id": self._correlation_id, "run_id": self.run_id}
            logger.warning("the log of run %s is lost: %s", self.run_id, error, extra=ids)
            return None

    def _kept_before(self, artifacts: ArtifactStore) -> bytes:
        if self._before is None:
            return b""
        try:
            with artifacts.open(self._before) as file:
                return file.read()
        except NotFoundError:
            return b""
        except ShelfAwayError as error:
            # Another machine's worker kept it in the bucket; there it stays.
            message = f"before this: {self._before}, but {error.message}"
            return f"{_LINE.encode({'message': message})}\n".encode()

    def _written(self, room: int) -> bytes:
        run_id = str(self.run_id)
        messages = self._redactor.value([message for *_, message in self._lines])
        lines = [
            _LINE.encode(
                {
                    "at": isoformat(at),
                    "run_id": run_id,
                    "step": step,
                    "correlation_id": self._correlation_id,
                    "message": message,
                }
            )
            for (at, step, _), message in zip(self._lines, messages, strict=True)
        ]
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        if len(data) <= room:
            return data
        whole = data[: max(room, 0)].rpartition(b"\n")[0] + b"\n"
        left_out = len(lines) - whole.count(b"\n")
        return whole + f'{{"message": "{left_out} more lines were not kept"}}\n'.encode()


_LINE: Final = json.JSONEncoder(ensure_ascii=False)


def store_all(
    logs: Sequence[RunLog], artifacts: ArtifactStore, crew: Crew
) -> Mapping[uuid.UUID, Stored]:
    """Store logs side by side, by run; one that cannot be stored is left out.

    To make a file is to wait for a disk that syncs for somebody else: several
    wait together, not one after another.
    """
    if len(logs) == 1:
        return _store(logs, artifacts)
    lanes = [logs[lane::_LANES] for lane in range(min(_LANES, len(logs)))]
    futures = [Future[Mapping[uuid.UUID, Stored]]() for _ in lanes]
    for lane, future in zip(lanes, futures, strict=True):
        crew.begin(partial(_fill, future, lane, artifacts))
    return {run_id: stored for future in futures for run_id, stored in future.result().items()}


_LANES: Final = 4
"""More wait no less for the disk, and wake one another up for nothing."""


def _fill(
    future: Future[Mapping[uuid.UUID, Stored]], logs: Sequence[RunLog], artifacts: ArtifactStore
) -> None:
    try:
        future.set_result(_store(logs, artifacts))
    except Exception as error:  # noqa: BLE001 - raised again where it is asked for
        future.set_exception(error)


def _store(logs: Sequence[RunLog], artifacts: ArtifactStore) -> Mapping[uuid.UUID, Stored]:
    found = [(log.run_id, log.store(artifacts)) for log in logs]
    return {run_id: stored for run_id, stored in found if stored is not None}
