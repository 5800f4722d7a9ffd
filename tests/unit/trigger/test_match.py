import datetime as dt
import uuid
from typing import Any

import pytest

from xyn_reconciler.model.event import Event
from xyn_reconciler.trigger.match import MAX_HOPS, Match, MatchIndex, NodeView

NODE = NodeView("seed", "local", "dev", labels=frozenset({"edge"}))


def event(name: str = "checkmk.alert", hops: int = 0, **data: object) -> Event:
    return Event(
        event_id=uuid.UUID(int=1),
        event_name=name,
        occurred_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        env_id="local",
        actor="ada",
        correlation_id="c",
        resource={"type": "host", "id": "db1"},
        data=dict(data),
        hops=hops,
    )


def blueprint(*triggers: dict[str, Any], id: str = "bp.x", **more: object) -> dict[str, Any]:  # noqa: A002 - the key's name
    return {"id": id, "triggers": list(triggers), **more}


def starts(trigger: dict[str, Any], given: Event) -> bool:
    return bool(MatchIndex.build([blueprint(trigger)], NODE).matches(given))


def test_an_event_starts_the_blueprints_that_wait_for_its_name() -> None:
    index = MatchIndex.build(
        [
            blueprint({"event_type": "checkmk.alert"}, id="bp.b"),
            blueprint({"event_type": "checkmk.*"}, id="bp.a"),
            blueprint({"event_type": "checkmk.alert.more"}, id="bp.c"),
        ],
        NODE,
    )

    assert index.matches(event()) == [Match("bp.a", 0), Match("bp.b", 0)]


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("xyn.run.*", "xyn.run.failed", True),
        ("xyn.run.*", "xyn.run.a.b", True),
        ("xyn.run.*", "xyn.run", False),
        ("xyn.run.*", "xyn.runs.failed", False),
        ("xyn.run", "xyn.run.failed", False),
    ],
)
def test_a_star_stands_for_whole_segments(pattern: str, name: str, *, fits: bool) -> None:
    assert starts({"event_type": pattern}, event(name)) is fits


def test_a_blueprint_starts_once_by_its_first_trigger_that_fits() -> None:
    document = blueprint(
        {"event_type": "checkmk.alert", "match": {"data.state": "OK"}},
        {"event_type": "checkmk.*"},
        {"event_type": "checkmk.alert"},
    )

    assert MatchIndex.build([document], NODE).matches(event(state="CRIT")) == [Match("bp.x", 1)]


@pytest.mark.parametrize(
    ("wanted", "found", "fits"),
    [
        ("CRIT", "CRIT", True),
        ("CRIT", "crit", False),
        (["CRIT", "WARN"], "WARN", True),
        (["disk-*", 5], "disk-root", True),
        ("disk-*", "my-disk-root", False),
        (1, 1.0, True),
        (1, True, False),
        (False, 0, False),
        (None, None, True),
        ("1", 1, False),
        ({"a": [1]}, {"a": [1.0]}, True),
    ],
)
def test_match_is_equality_of_json_any_of_a_list_or_a_glob(
    wanted: object, found: object, *, fits: bool
) -> None:
    trigger = {"event_type": "checkmk.alert", "match": {"data.value": wanted}}

    assert starts(trigger, event(value=found)) is fits


def test_match_reaches_into_lists_and_the_resource() -> None:
    trigger = {
        "event_type": "checkmk.alert",
        "match": {"data.alerts.1.status": "firing", "resource.id": "db*"},
    }

    assert starts(trigger, event(alerts=[{}, {"status": "firing"}]))
    assert not starts(trigger, event(alerts=[{"status": "firing"}]))


def test_a_condition_that_cannot_be_asked_is_no_match_and_keeps_its_reason() -> None:
    index = MatchIndex.build(
        [
            blueprint({"event_type": "checkmk.alert", "when": "event.data.age > 60"}, id="bp.gone"),
            blueprint(
                {"event_type": "checkmk.alert", "when": "event.data.host > 60"}, id="bp.kind"
            ),
            blueprint({"event_type": "checkmk.alert", "match": {"data.a.b": 1}}, id="bp.path"),
        ],
        NODE,
    )
    given = event(host="db1")

    told = {each.blueprint_id: each for each in index.explain(given)}

    assert index.matches(given) == []
    assert told["bp.gone"].condition == "when"
    assert "event.data.age" in told["bp.gone"].reason
    assert told["bp.kind"].condition == "when"
    assert (told["bp.path"].condition, told["bp.path"].expected) == ("match.data.a.b", 1)


def test_when_sees_event_and_node() -> None:
    trigger = {
        "event_type": "checkmk.alert",
        "when": "event.data.age_s > 60 and node.stage == 'dev'",
    }

    assert starts(trigger, event(age_s=61))
    assert not starts(trigger, event(age_s=60))


def test_explain_names_the_first_condition_that_failed_with_both_values() -> None:
    trigger = {"event_type": "checkmk.alert", "match": {"data.state": ["CRIT", "WARN"]}}
    index = MatchIndex.build([blueprint(trigger)], NODE)

    (other,) = index.explain(event("x.y"))
    (state,) = index.explain(event(state="OK"))
    (fits,) = index.explain(event(state="CRIT"))

    assert (other.condition, other.expected, other.found) == ("event_type", "checkmk.alert", "x.y")
    assert (state.condition, state.expected, state.found) == (
        "match.data.state",
        ["CRIT", "WARN"],
        "OK",
    )
    assert fits.matched


def test_explain_says_what_the_names_in_a_when_stand_for() -> None:
    trigger = {
        "event_type": "checkmk.alert",
        "when": "event.data.age > 60 and node.stage == 'dev' and event.data.gone is not defined",
    }
    constant = {"event_type": "checkmk.alert", "when": "1 == 2"}

    (told,) = MatchIndex.build([blueprint(trigger)], NODE).explain(event(age=5))
    (failed,) = MatchIndex.build([blueprint(trigger)], NODE).explain(event(age="old"))
    (never,) = MatchIndex.build([blueprint(constant)], NODE).explain(event())

    assert told.condition == "when"
    assert told.found == {"event.data.age": 5, "node.stage": "dev"}
    assert failed.found == {"event.data.age": "old", "node.stage": "dev"}
    assert (never.condition, never.found) == ("when", False)


@pytest.mark.parametrize(
    ("nodes", "node", "live"),
    [
        (None, NODE, True),
        (None, NodeView("b", "local", "dev", primary=False), False),
        (["seed"], NODE, True),
        (["other"], NODE, False),
        (["other", "label:edge"], NODE, True),
        (["label:seed"], NODE, False),
        (["edge"], NODE, False),
        (["b"], NodeView("b", "local", "dev", primary=False), True),
        ([], NODE, False),
    ],
)
def test_triggers_are_live_on_the_nodes_that_are_named_or_on_the_primary_one(
    nodes: list[str] | None, node: NodeView, *, live: bool
) -> None:
    document = blueprint({"event_type": "checkmk.alert"})
    if nodes is not None:
        document["nodes"] = nodes
    index = MatchIndex.build([document], node)

    (told,) = index.explain(event())

    assert index.is_live("bp.x") is live
    assert bool(index.matches(event())) is live
    assert told.condition == (None if live else "nodes")


def test_a_chain_of_too_many_runs_starts_nothing_and_says_so() -> None:
    index = MatchIndex.build([blueprint({"event_type": "checkmk.alert"})], NODE)

    (told,) = index.explain(event(hops=MAX_HOPS))

    assert index.matches(event(hops=MAX_HOPS - 1))
    assert not index.matches(event(hops=MAX_HOPS))
    assert told.condition == "hops"


def test_a_schedule_is_not_started_by_events() -> None:
    trigger = {"event_type": "checkmk.alert", "schedule": {"cron": "0 2 * * *"}}
    index = MatchIndex.build([blueprint(trigger)], NODE)

    assert not index.matches(event())
    assert index.explain(event())[0].condition == "schedule"


def test_changes_give_the_index_that_a_new_build_would_give() -> None:
    first = blueprint({"event_type": "a.b"}, {"event_type": "c.*"}, id="bp.1")
    second = blueprint({"event_type": "a.b"}, id="bp.2")
    index = MatchIndex.build([first, second], NODE)

    changed = index.with_changes([("bp.1", blueprint({"event_type": "d.e"}, id="bp.1"))])
    gone = changed.with_changes([("bp.1", None), ("bp.2", None)])

    assert [m.blueprint_id for m in changed.matches(event("a.b"))] == ["bp.2"]
    assert [m.blueprint_id for m in changed.matches(event("d.e"))] == ["bp.1"]
    assert not changed.waits_for("c.x")
    assert gone == MatchIndex(NODE)
    assert [m.blueprint_id for m in index.matches(event("a.b"))] == ["bp.1", "bp.2"]
