"""Events that come in over HTTP and are committed, a second; the floor commits nothing."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Final

from bench.desired import IGNORED_EVENT
from bench.load import Load, post
from bench.node import Node, free_port, listening
from bench.place import BenchError, wait_for
from bench.result import Bar, Result, compare, quantile
from bench.rounds import pairs, turns

SECONDS: Final = 40.0
CONNECTIONS: Final = 16
BAR: Final = Bar(">=", 0.6)
INGESTED: Final = "events ingested"

_BODY: Final = json.dumps(
    {"event_name": IGNORED_EVENT, "data": {"host": "web-1", "padding": "y" * 200}}
).encode()


def measure(node: Node) -> Iterator[Result]:
    seconds = node.place.sizes.event_seconds
    port = free_port()
    server = node.place.start("bench.floor_server", str(port))
    wait_for(lambda: listening(port), "an answer of the floor's server", seconds=30, child=server)
    for each in (port, node.port):
        _load(each, seconds=min(0.5, seconds))
    before = _committed(node)

    def load(target: int, _: str) -> Load:
        node.wait_recorded()
        return _load(target, seconds)

    loads = turns(
        node.place.say,
        INGESTED,
        node.place.sizes.event_rounds,
        {"floor": partial(load, port), "xyn": partial(load, node.port)},
        seconds=SECONDS,
    )
    answered = sum(each["xyn"].answered for each in loads)
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
        "p99_ms": round(max(quantile(each["xyn"].latencies, 0.99) for each in loads) * 1000, 1),
    }
    rates = [{side: each.per_second for side, each in round_.items()} for round_ in loads]
    yield compare(INGESTED, "events/s", pairs(rates, "floor", "xyn"), conditions, bar=BAR)


def rate(node: Node) -> float:
    """Events a second that are answered after their commit."""
    node.wait_recorded()
    return _load(node.port, node.place.sizes.event_seconds).per_second


def _load(port: int, seconds: float) -> Load:
    return post(port, "/api/v1/events", _BODY, connections=CONNECTIONS, seconds=seconds)


def _committed(node: Node) -> int:
    with node.database() as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE event_name = %s", (IGNORED_EVENT,)
        ).fetchone()
    return 0 if row is None else int(row[0])
