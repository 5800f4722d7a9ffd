"""Why a row misses its bar: what stands in the way, said plainly, by the row's name.

Said only where the bar is missed. After an edit, ``python -m bench --page``
brings ``bench/results.json`` and the page up to date without measuring again.
"""

from collections.abc import Mapping
from typing import Final

OBSTACLES: Final[Mapping[str, str]] = {
    "event to first step, p50": (
        "a POST costs over 2 ms of the interpreter (HTTP, checks, redaction, rules, compiling,"
        " JSON, psycopg) and a round trip before its answer; a run is then taken up with four"
        " more (begin, claim, save, commit) and two thread hand-overs before its first step;"
        " the floor needs one statement and one claim."
    ),
    "a flow of 40 steps": (
        "each step waits for the commit before it; that is one statement, and it tells of the step"
        " that ended and of the one that begins (rows, attempts, internal events, log): most of a"
        " millisecond of the interpreter and half a one of Postgres, with a hand-over to the thread"
        " that does the step and one back; the floor updates one row and stays in its thread."
    ),
    "durable 3-step runs, with records": (
        "on two cores the committer, which reads, renders and commits every run and its events,"
        " takes its time from the worker and from Postgres; nothing waits for it, so with a core"
        " of its own it would cost a run nothing but what Postgres reads."
    ),
    "transform-only 3-step runs, one worker": (
        "a run is one commit, shared by some thirty, and all that is left is the interpreter's:"
        " about 1 ms a run for claiming, rendering, deciding, redacting, its log and some ten"
        " events; the floor computes nothing and tells nobody."
    ),
    "events ingested": (
        "commits are shared, so what is left is the interpreter's: about 0.6 ms an event for door,"
        " checks, redaction, JSON, statement and log line, beside a committer that writes each"
        " event into Git on the same two cores; the floor only answers."
    ),
}
