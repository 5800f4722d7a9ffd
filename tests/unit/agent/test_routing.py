"""Whom a step asks on a node, and whom next."""

from typing import Any

import pytest

from xyn_reconciler.model.routing import Target, order, target

ON = {name: {"enabled": True} for name in ("openai", "anthropic", "local")}
SMALL = {"provider": "openai", "model": "small"}
LLAMA = {"provider": "local", "model": "llama"}
CLAUDE = {"provider": "anthropic", "model": "claude"}


def test_a_model_of_a_provider_is_itself_and_an_alias_what_the_node_says() -> None:
    models = {"aliases": {"fast": SMALL}}

    assert target(models, "openai", "fast") == Target("openai", "fast")
    assert target(models, None, "fast") == Target("openai", "small")
    assert target(models, None, "smart") is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"*": LLAMA}, "llama"),
        ({"openai/*": LLAMA, "*": CLAUDE}, "llama"),
        ({"openai/small": LLAMA, "openai/*": CLAUDE}, "llama"),
        ({"anthropic/*": LLAMA}, "small"),
        ({"openai/other": LLAMA}, "small"),
    ],
)
def test_the_nearest_override_holds_for_names_and_aliases(
    override: dict[str, Any], expected: str
) -> None:
    models = {"aliases": {"fast": SMALL}, "override": override}

    for provider, model in (("openai", "small"), (None, "fast")):
        found = target(models, provider, model)
        assert found is not None
        assert found.model == expected


def test_the_order_has_each_once_and_only_who_is_enabled() -> None:
    models = {"fallback": [CLAUDE, SMALL, {"provider": "off", "model": "m"}, LLAMA, CLAUDE]}

    found = order(ON, models, "openai", "small")

    assert [each.provider for each in found] == ["openai", "anthropic", "local"]


def test_another_is_not_asked_because_the_first_is_switched_off() -> None:
    found = order({"local": {"enabled": True}}, {"fallback": [LLAMA]}, "openai", "small")

    assert found[0] == Target("openai", "small")


def test_what_the_override_keeps_in_the_house_no_fallback_takes_out() -> None:
    models = {"override": {"*": LLAMA}, "fallback": [CLAUDE, SMALL]}

    assert order(ON, models, "openai", "gpt") == [Target("local", "llama")]
