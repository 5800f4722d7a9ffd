from pathlib import Path

import pytest

from xyn_reconciler.trigger import pressure
from xyn_reconciler.trigger.pressure import (
    MOST_STEPS,
    Headroom,
    IntakeFullError,
    is_nearly_full,
    steps_back,
)


def test_within_the_limit_nobody_steps_back() -> None:
    assert steps_back({"storm": 999, "calm": 1}, limit=1000) == {}
    assert steps_back({}, limit=1000) == {}


def test_a_storm_delays_itself_first() -> None:
    assert steps_back({"storm": 1600, "calm": 3}, limit=1000) == {"storm": 3}
    assert steps_back({"storm": 10**6, "calm": 3}, limit=1000) == {"storm": MOST_STEPS}


def test_blueprints_that_are_alike_step_back_alike() -> None:
    assert steps_back({"a": 600, "b": 600}, limit=1000) == {"a": 1, "b": 1}


def test_intake_stops_before_the_disk_is_full() -> None:
    assert is_nearly_full(free=255_000_000, total=10**12)
    assert not is_nearly_full(free=257_000_000, total=10**12)
    assert is_nearly_full(free=4_900_000, total=100_000_000)
    assert not is_nearly_full(free=5_100_000, total=100_000_000)


def test_a_refusal_says_when_to_come_again_and_is_counted_by_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headroom = Headroom()
    headroom.ask(tmp_path, "github")
    monkeypatch.setattr(pressure, "FREE_AT_MOST", 10**30)
    monkeypatch.setattr(pressure, "FREE_SHARE", 2.0)

    with pytest.raises(IntakeFullError) as caught:
        headroom.ask(tmp_path, "github")

    assert caught.value.http_status == 429
    assert caught.value.details == {"source": "github", "retry_after": 30}
    assert headroom.refused == {"github": 1}
