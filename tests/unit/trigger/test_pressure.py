from xyn_reconciler.trigger.pressure import (
    MOST_STEPS,
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
