from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.reconcile.plan import Change, plan, plan_changes

STATES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"))


def test_what_is_new_differs_or_is_gone_is_a_change() -> None:
    observed = {"a": "1", "b": "1", "c": "1"}
    desired = {"b": "2", "c": "1", "d": "1"}

    assert plan(observed, desired) == [
        Change("a", "retire", None),
        Change("b", "update", "2"),
        Change("d", "activate", "1"),
    ]


@given(STATES, STATES)
def test_a_plan_carried_out_gives_the_desired_state_and_nothing_is_left(
    observed: dict[str, str], desired: dict[str, str]
) -> None:
    state = dict(observed)
    for change in plan(observed, desired):
        if change.blob_id is None:
            del state[change.path]
        else:
            state[change.path] = change.blob_id

    assert state == desired
    assert plan(state, desired) == []


@given(STATES, STATES)
def test_the_quick_way_says_what_the_full_way_says(
    observed: dict[str, str], desired: dict[str, str]
) -> None:
    paths = observed.keys() | desired.keys()
    differing = {p: desired.get(p) for p in paths if observed.get(p) != desired.get(p)}

    assert plan_changes(observed, differing) == plan(observed, desired)


def test_changes_read_like_a_sentence() -> None:
    assert str(Change("blueprints/a.yaml", "update", "1")) == "update blueprints/a.yaml"
