"""The state repository that a newcomer starts from."""

import re

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import kind_of, load
from xyn_reconciler.desired.validate import Findings, validate_paths
from xyn_reconciler.model.blueprint import Blueprint
from xyn_reconciler.template import template_files

FILES = dict(template_files())


def test_the_template_has_no_problem_and_gives_no_remark() -> None:
    assert validate_paths(FILES, catalogue(installed_actions())) == Findings()


def test_node_yaml_has_one_key_a_line_and_starts_without_any_key_of_a_provider() -> None:
    text = FILES["node.yaml"].decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    node = load("node.yaml", "b", FILES["node.yaml"]).document

    assert [line.partition(":")[0] for line in lines] == list(node)
    assert [each["enabled"] for each in node["providers"].values()] == [False, False]
    assert node["egress"] == {"allow": []}


def test_the_demo_blueprints_need_no_network() -> None:
    kinds = {}
    for path, data in FILES.items():
        if path.startswith("blueprints/demo/"):
            found = Blueprint.model_validate(load(path, "b", data).document)
            kinds[found.id] = [step.kind for step in found.plan]

    assert kinds == {
        "bp.demo.hello": ["transform"] * 4,
        "bp.demo.approval": ["transform", "gate", "transform"],
    }


def test_every_document_names_the_schema_of_its_kind_for_editors() -> None:
    for path, data in FILES.items():
        if kind_of(path) in ("other", "pack_file", "prompt"):
            continue
        first = data.decode().splitlines()[0]
        found = re.fullmatch(
            r"# yaml-language-server: \$schema=((?:\.\./)*)schemas/(\w+)\.json", first
        )

        assert found is not None, path
        assert found[1] == "../" * path.count("/"), path
        assert found[2] == kind_of(path), path


def test_the_readme_names_only_what_is_there() -> None:
    readme = FILES["README.md"].decode()
    folders = {path.partition("/")[0] for path in FILES if "/" in path}

    for folder in folders:
        assert f"`{folder}/" in readme, folder
