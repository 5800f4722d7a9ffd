"""Why a row misses its bar: what stands in the way, said plainly, by the row's name.

Said only where the bar is missed. After an edit, ``python -m bench --page``
brings ``bench/results.json`` and the page up to date without measuring again.
"""

from collections.abc import Mapping
from typing import Final

OBSTACLES: Final[Mapping[str, str]] = {
    "event to first step, p50": (
        "an event is taken in by three transactions (node, event, answer) of some fifteen"
        " statements behind HTTP, and a run is taken up by some twelve before its first step"
        " begins; the floor needs one and one. Most of the time is the interpreter's, building and"
        " sending statements."
    ),
    "durable 3-step runs, one worker": (
        "each of a run's four commits carries some ten statements (steps, tries, events, outbox,"
        " notices, gates), each a round trip that costs the interpreter more than it costs"
        " Postgres, and the run's log is synced to the artifact store; the floor needs four"
        " statements in all."
    ),
    "events ingested": (
        "every event is a transaction of its own between two that only read, some fifteen"
        " statements in all; the interpreter that builds them is busy all the time, while Postgres"
        " is not. Events that wait side by side could share one commit."
    ),
}
