"""How much is measured: everything that decides how long the benchmark takes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rounds, and what one round does. Rounds of floor and Xyn take turns."""

    reconcile_files: int = 10_000
    reconcile_rounds: int = 31
    record_runs: int = 250
    record_rounds: int = 5
    backtest_events: int = 10_000
    backtest_rounds: int = 5
    push_rounds: int = 9
    latency_rounds: int = 5
    latency_events: int = 30
    open_loop_rounds: int = 3
    open_loop_seconds: float = 7.0
    rate_rounds: int = 3
    rate_runs: int = 400
    long_rounds: int = 3
    long_runs: int = 4
    transform_rounds: int = 3
    transform_runs: int = 800
    event_rounds: int = 5
    event_seconds: float = 2.0
    takeover_rounds: int = 3
    idle_seconds: float = 10.0
    gate_runs: int = 100
    """Really started; each is copied ``gate_copies`` times as it waits."""
    gate_copies: int = 99
    history_runs: int = 300
    """Really run in both nodes; in one of them each is copied ``history_copies`` times."""
    history_copies: int = 99
    history_rounds: int = 3


FULL: Final = Sizes()

TINY: Final = Sizes(
    reconcile_files=50,
    reconcile_rounds=2,
    record_runs=5,
    record_rounds=2,
    backtest_events=200,
    backtest_rounds=2,
    push_rounds=2,
    latency_rounds=2,
    latency_events=3,
    open_loop_rounds=1,
    open_loop_seconds=0.5,
    rate_rounds=1,
    rate_runs=20,
    long_rounds=1,
    long_runs=2,
    transform_rounds=1,
    transform_runs=20,
    event_rounds=1,
    event_seconds=0.3,
    takeover_rounds=1,
    idle_seconds=1.0,
    gate_runs=3,
    gate_copies=2,
    history_runs=5,
    history_copies=3,
    history_rounds=1,
)
"""Enough to see that every row can be measured; its figures mean nothing."""
