"""Safety rails of runs (seed 38), with their defaults; ``limits`` in ``node.yaml`` overrides."""

import datetime as dt
from typing import Final

from xyn_reconciler.model.run import PlanNode

MAX_STEPS: Final = 200
"""Steps of one plan, those of ``on_failure`` included (seed 38.2)."""

RUN_TIMEOUT: Final = 3600.0
"""Seconds that a run may take without the time it waits for people (seed 38.2)."""

STEP_TIMEOUT: Final = 600.0
"""Seconds for one attempt of a step that names no ``timeout``: nothing hangs for ever."""

ARTIFACT_MAX: Final = 250_000_000
"""Bytes of one artifact (seed 38.1)."""

MAX_ITEMS: Final = 1000
"""Items of one ``foreach``: each is a row, and all of their outputs are one value."""

MAX_PARALLEL: Final = 32
"""Items of one ``foreach`` that are under way at a time, whatever ``max_parallel`` says."""

MAX_LOG: Final = 4_000_000
"""Bytes of a run's log; what comes after is counted, not kept."""

POISONED_AFTER: Final = 3
"""Workers that die in a row under the same step before it is set aside."""

MAX_DEPTH: Final = 10
"""Runs behind a run that a step may still start another from: sub-runs do not go on for ever."""

CANCEL_GRACE: Final = dt.timedelta(seconds=10)
"""How long the steps under way may take to stop after a cancel."""


def max_steps(node: PlanNode) -> int:
    return int(node.limits.get("max_steps", MAX_STEPS))


def run_timeout(node: PlanNode, own: float | None) -> float:
    """Seconds: the blueprint's own timeout, never beyond the node's."""
    limit = float(node.limits.get("run_timeout", RUN_TIMEOUT))
    return limit if own is None else min(own, limit)


def artifact_max(node: PlanNode) -> int:
    return int(node.limits.get("artifact_max", ARTIFACT_MAX))
