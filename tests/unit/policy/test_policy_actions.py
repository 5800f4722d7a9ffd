"""What a change of the desired state has to be allowed as."""

from xyn_reconciler.policy.actions import actions_of


def test_each_kind_of_document_is_asked_for_as_its_own_action_once() -> None:
    assert actions_of(["blueprint", "prompt", "source", "other", "test"]) == ["blueprint.promote"]
    assert actions_of(["pack", "node", "policy", "node"]) == [
        "node.change", "pack.promote", "policy.change",
    ]  # fmt: skip


def test_to_give_somebody_a_role_is_to_change_policy() -> None:
    assert actions_of(["principals"]) == ["policy.change"]
