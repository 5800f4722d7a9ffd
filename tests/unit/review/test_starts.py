"""Which events would have started what."""

from tests.unit.review.replaying import event_of, history_of, side_of
from xyn_reconciler.review.starts import Key, Starts, follow

PLAN = "plan: [{id: a, kind: transform, set: {x: 1}}]\n"


def started(
    triggers: str, count: int, *, every: float, **data: str
) -> tuple[list[Key], dict[Key, str]]:
    found = Starts(side_of(f"id: bp.a\ntriggers:\n  - {triggers}\n{PLAN}").index())
    events = [event_of(number, **data) for number in range(count)]
    for number, recorded in enumerate(history_of(*events, every=every).events):
        follow([found], number, recorded)
    found.finish()
    return sorted(found.started), found.suppressed


def test_within_a_dedupe_window_the_first_event_starts_alone() -> None:
    trigger = "{event_type: checkmk.alert, dedupe: {key: '{{ event.data.host }}', window: 10m}}"

    found, suppressed = started(trigger, 25, every=60, host="web-1")

    assert [number for number, _ in found] == [0, 10, 20]
    assert suppressed[1, "bp.a"] == "dedupe"


def test_a_debounced_key_starts_with_its_last_event() -> None:
    trigger = "{event_type: checkmk.alert, debounce: {key: '{{ event.data.host }}', quiet: 5m}}"

    close, _ = started(trigger, 5, every=60, host="web-1")
    apart, _ = started(trigger, 3, every=600, host="web-1")

    assert [number for number, _ in close] == [4]
    assert [number for number, _ in apart] == [0, 1, 2]


def test_a_debounced_key_that_is_never_quiet_starts_at_its_latest() -> None:
    trigger = (
        "{event_type: checkmk.alert, debounce: {key: '{{ event.data.host }}', quiet: 5m,"
        " at_most: 10m}}"
    )

    found, suppressed = started(trigger, 21, every=60, host="web-1")

    assert [number for number, _ in found] == [9, 19, 20]
    assert suppressed[0, "bp.a"] == "debounce"
