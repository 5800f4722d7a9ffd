"""What this node can run, and what the language knows besides."""

from jsonschema import Draft202012Validator

from xyn_reconciler.action.registry import catalogue, installed_actions


def test_the_catalogue_tells_installed_actions_from_those_that_are_only_known() -> None:
    found = catalogue(installed_actions()).actions

    assert found["http.call"].installed
    assert found["ssh.run"].installed
    assert found["container.exec"].installed
    assert found["blueprints.run"].installed
    assert not found["git.commit"].installed


def test_every_installed_action_has_sound_schemas() -> None:
    for action in installed_actions().values():
        Draft202012Validator.check_schema(dict(action.spec.input_schema))
        Draft202012Validator.check_schema(dict(action.spec.output_schema))
