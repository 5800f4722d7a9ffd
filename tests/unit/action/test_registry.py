"""What this node can run."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.model.pattern import compile_pattern
from xyn_reconciler.model.schema_check import mismatch


def test_the_catalogue_has_what_a_worker_binds_besides_what_stands_alone() -> None:
    found = catalogue(installed_actions()).actions

    assert found["http.call"].installed
    assert found["ssh.run"].installed
    assert found["container.exec"].installed
    assert found["blueprints.run"].installed
    assert found["git.repo.commit"].installed
    assert found["blueprints.promote"].installed
    assert "git.commit" not in found


def test_every_installed_action_has_sound_schemas() -> None:
    for spec in catalogue(installed_actions()).actions.values():
        Draft202012Validator.check_schema(dict(spec.input_schema))
        Draft202012Validator.check_schema(dict(spec.output_schema))


@pytest.mark.parametrize(
    ("action", "inputs"),
    [
        ("git.repo.log", {"repository": "a", "path": "a\0b"}),
        ("git.repo.log", {"repository": "a", "path": "\ud800"}),
        ("git.repo.checkout", {"repository": "a", "folder": "\udcff"}),
        ("git.repo.diff", {"repository": "a", "paths": ["a", "\0"]}),
        ("http.call", {"url": "x", "auth": {"basic": {"user": "a:b", "password_ref": "p"}}}),
        ("http.call", {"url": "x", "auth": {"basic": {"user": "\ud800", "password_ref": "p"}}}),
        ("artifacts.put", {"name": "a"}),
        ("artifacts.put", {"name": "a", "text": "a", "json": 1}),
        ("git.repo.clone", {"repository": "a"}),
        ("git.repo.clone", {"repository": "a", "url": "https://example.net/a", "from": "b"}),
        ("container.exec", {"image": "a", "argv": ["id"], "cpus": 0.001}),
    ],
)
def test_what_no_tool_can_take_does_not_fit(action: str, inputs: dict[str, Any]) -> None:
    schema = catalogue(installed_actions()).actions[action].input_schema

    assert mismatch(schema, inputs) is not None


def test_every_pattern_of_an_installed_action_is_one_that_a_push_can_ask() -> None:
    found = [
        pattern
        for spec in catalogue(installed_actions()).actions.values()
        for schema in (spec.input_schema, spec.output_schema)
        for pattern in patterns(schema)
    ]

    assert found
    for pattern in found:
        compile_pattern(pattern)


def patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        schema = list(schema.values())
    if isinstance(schema, list | tuple):
        for part in schema:
            yield from patterns(part)
