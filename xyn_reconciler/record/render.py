"""Turn lines into the files and the message of one record commit.

Pure: the same lines always give the same bytes, so a batch that is written
twice after a crash is the same batch.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

RUNS: Final = "refs/xyn/runs/"
"""Below it each node has a ref for every month."""


_LINE_BREAKS: Final = {ord("\n"): " ", ord("\r"): " "}


@dataclass(frozen=True, slots=True)
class Batch:
    """One record commit: ``files`` (path in the month's tree to bytes) and its message."""

    files: dict[str, bytes]
    message: str


def month_of(ref: str) -> str:
    """``YYYY-MM`` of a month's ref."""
    return ref.rpartition("/")[2]


def node_of(ref: str) -> str:
    """The id of the node that writes a month's ref."""
    return ref.removeprefix(RUNS).rpartition("/")[0]


def month_ref(node_id: str, moment: dt.datetime, months: Collection[str]) -> str:
    """``refs/xyn/runs/<node>/<YYYY-MM>``, the month in UTC.

    ``months`` are the node's refs so far. A month that has begun is not gone
    back from, whatever the clock does: the last record of a run counts, and
    what is last is told by the months' order.
    """
    newest = max(map(month_of, months), default="")
    return f"{RUNS}{node_id}/{max(newest, f'{moment:%Y-%m}')}"


def place(moment: dt.datetime, name: str) -> str:
    """Give the path, without its ending, of something written at that moment: ``DD/HH/MM/SS/name``.

    A folder a second: a batch writes anew the folders on its path, and twenty
    batches a second would make an hour's or a minute's folder megabytes.
    """
    return f"{moment:%d/%H/%M/%S}/{name}"


def render(
    *,
    runs: Sequence[tuple[uuid.UUID, str]],
    events: Sequence[str],
    artifacts: Sequence[str],
    plans: Sequence[str],
    outbox_ids: Sequence[int],
    database_id: uuid.UUID,
    now: dt.datetime,
    again: Sequence[uuid.UUID] = (),
) -> Batch:
    """Render one batch; ``runs`` are ids with their lines, all else is lines. At least one line.

    ``again`` are events that an earlier commit has a line of; trailers name them.

    Run records and event records are segments of their own: a backtest reads
    every event and no run. The name is made of the database and the first
    outbox id in it, which come together once, whatever the clock says.
    """
    name = place(now, f"{database_id.hex[:12]}-{outbox_ids[0]}")
    files = {}
    # Plans first: whoever reads on knows a run's plan when the run comes.
    lines = [*plans, *(line for _, line in runs), *artifacts]
    if lines:
        files[f"{name}.jsonl"] = _lines(lines)
    if events:
        files[f"{name}.events.jsonl"] = _lines(events)
    counts = {"run": len(runs), "event": len(events), "artifact": len(artifacts)}
    trailers = [
        *(f"Run-Id: {run_id}" for run_id, _ in runs),
        *(f"Again: {event_id}" for event_id in again),
        *(f"Segment: {path}" for path in files),
        f"Outbox: {database_id} {ranges(outbox_ids)}",
    ]
    return Batch(files, f"Record {_counted(counts)}\n\n" + "\n".join(trailers) + "\n")


def _lines(lines: Sequence[str]) -> bytes:
    # JSON has line breaks between its tokens only, where they mean nothing.
    return "".join(line.translate(_LINE_BREAKS) + "\n" for line in lines).encode()


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count} {noun}" + ("" if count == 1 else "s") for noun, count in counts.items() if count
    )


def ranges(ids: Sequence[int]) -> str:
    """Write ascending ids shortly: ``[1, 2, 3, 7]`` is ``1-3,7``."""
    parts: list[tuple[int, int]] = []
    for number in ids:
        if parts and number == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def parse_ranges(text: str) -> list[range]:
    """Read what :func:`ranges` wrote."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.append(range(int(first), int(last or first) + 1))
    return found


def held(values: Sequence[str], database_id: uuid.UUID) -> list[range]:
    """The outbox ids of this database that ``Outbox:`` trailers name."""
    found: list[range] = []
    for value in values:
        owner, _, ids = value.partition(" ")
        if owner == str(database_id):
            found += parse_ranges(ids)
    return found
