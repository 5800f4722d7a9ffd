"""Events that come in over HTTP and are committed, a second; the floor commits nothing."""

import json
from collections.abc import Iterator
from typing import Final

from bench.desired import IGNORED_EVENT
from bench.load import Load, post
from bench.node import Node, free_port, listening
from bench.place import BenchError, connect, wait_for
from bench.result import Bar, Result, compare, quantile
from bench.rounds import rounds

ROUNDS: Final = 5
SECONDS: Final = 45.0
LOAD_SECONDS: Final = 2.5
CONNECTIONS: Final = 16
BAR: Final = Bar(">=", 0.6)
OBSTACLE: Final = (
    "every event is a transaction of its own between two that only read, some fifteen statements"
    " in all; the interpreter that builds them is busy all the time, while Postgres is not. Events"
    " that wait side by side could share one commit."
)

_BODY: Final = json.dumps(
    {"event_name": IGNORED_EVENT, "data": {"host": "web-1", "padding": "y" * 200}}
).encode()


def measure(node: Node) -> Iterator[Result]:
    name = "events ingested"
    port = free_port()
    server = node.place.start("bench.floor_server", str(port))
    wait_for(lambda: listening(port), "an answer of the floor's server", seconds=30, child=server)
    for each in (port, node.port):
        _load(each, seconds=0.5)
    before, answered = _committed(node), 0
    pairs, slowest = [], []
    for _ in rounds(node.place.say, name, ROUNDS, seconds=SECONDS):
        floor = _load(port)
        wait_for(node.recorded, "the record of the events before", seconds=120)
        xyn = _load(node.port)
        answered += xyn.answered
        pairs.append((floor.per_second, xyn.per_second))
        slowest.append(quantile(xyn.latencies, 0.99) * 1000)
    server.stop()
    stored = _committed(node) - before
    if stored != answered:
        raise BenchError(f"{answered} events were answered with 201, {stored} are stored")
    conditions = {
        "value": "POST /api/v1/events, each answered after its commit; every answer is counted"
        " against the rows; records are written to Git meanwhile",
        "floor_is": "the same web server (Flask on granian, one process) answering the same POST"
        " without a database",
        "connections": CONNECTIONS,
        "body_bytes": len(_BODY),
        "p99_ms": round(max(slowest), 1),
    }
    yield compare(name, "events/s", pairs, conditions, bar=BAR, obstacle=OBSTACLE)


def _load(port: int, seconds: float = LOAD_SECONDS) -> Load:
    return post(port, "/api/v1/events", _BODY, connections=CONNECTIONS, seconds=seconds)


def _committed(node: Node) -> int:
    with connect(node.environment["DATABASE_URL"]) as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE event_name = %s", (IGNORED_EVENT,)
        ).fetchone()
    return 0 if row is None else int(row[0])
