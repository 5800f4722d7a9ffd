"""What every ready pack of the template keeps: its examples pass, and it is quiet until set up."""

from pathlib import Path

import pytest

from tests.neighbours import confinement
from xyn_reconciler.cli.main import main
from xyn_reconciler.desired.load import load
from xyn_reconciler.model.blueprint import Blueprint
from xyn_reconciler.pack_kit import NAME, kit
from xyn_reconciler.template import template_files

FILES = dict(template_files())
PACKS = sorted({path.split("/")[1] for path in FILES if path.endswith("/pack.yaml")})


def test_every_example_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    confinement()
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    monkeypatch.chdir(tmp_path)

    code = main(["pack", "test"])

    printed = capsys.readouterr()
    assert code == 0, printed.out
    assert "0 failed, 0 skipped" in printed.err


def test_these_packs_are_ready() -> None:
    assert PACKS == ["alertmanager", "checkmk", "edge", "github"]


@pytest.mark.parametrize("pack", PACKS)
def test_a_ready_pack_has_a_page_of_its_own_a_smoke_test_and_no_settings_yet(pack: str) -> None:
    definition = load(f"packs/{pack}/pack.yaml", "b", FILES[f"packs/{pack}/pack.yaml"]).document

    assert FILES[f"packs/{pack}/README.md"].startswith(b"# ")
    assert definition["version"] == "0.1.0"
    assert definition["smoke"]["action"] in definition["actions"]
    assert f"packs/{pack}/settings.yaml" not in FILES


def test_programs_have_the_kit_that_xyn_brings() -> None:
    kits = [data for path, data in FILES.items() if path.endswith(f"/actions/{NAME}")]

    assert len(kits) == 3
    assert {data.decode() for data in kits} == {kit()}


def test_no_blueprint_of_a_pack_starts_by_itself_until_node_yaml_says_so() -> None:
    for path, data in FILES.items():
        if path.startswith("packs/") and "/blueprints/" in path:
            found = Blueprint.model_validate(load(path, "b", data).document)
            for trigger in found.triggers:
                assert "node.vars." in str(trigger.when), path
