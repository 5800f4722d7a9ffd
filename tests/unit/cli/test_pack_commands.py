"""``xynctl pack``: what is written, checked and printed without a node."""

import json
from pathlib import Path

import pytest

from xyn_reconciler.cli.main import main
from xyn_reconciler.template import template_files

Said = pytest.CaptureFixture[str]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a new state repository that we stand in."""
    for path, data in template_files():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["mail", "on", "a-b_c9"])
def test_a_new_pack_is_valid_and_its_examples_and_tests_pass_as_written(
    clone: Path, capsys: Said, name: str
) -> None:
    assert main(["pack", "new", name]) == 0
    written = capsys.readouterr().out.splitlines()

    assert f"packs/{name}/pack.yaml" in written
    assert all((clone / path).is_file() for path in written)
    assert main(["validate", "."]) == 0
    assert "remark: packs/" not in capsys.readouterr().err
    assert main(["pack", "test", name]) == 0
    assert main(["test", f"packs/{name}"]) == 0
    assert "1 test passed" in capsys.readouterr().err


def test_what_is_there_is_not_overwritten_and_names_of_xyns_own_are_not_taken(
    clone: Path, capsys: Said
) -> None:
    before = {path.name for path in (clone / "packs").iterdir()}
    main(["pack", "new", "mail"])
    capsys.readouterr()

    taken = ("http", "pack", "xyn", "api", "Mail", "../mail")
    codes = [main(["pack", "new", name]) for name in ("mail", *taken)]

    assert codes == [4, *[2 for _ in taken]]
    assert capsys.readouterr().err.splitlines()[0] == (
        "xynctl: there is packs/mail/ already: choose another name"
    )
    assert {path.name for path in (clone / "packs").iterdir()} == {*before, "mail"}


def test_verify_prints_a_digest_that_follows_the_content_and_not_the_settings(
    clone: Path, capsys: Said
) -> None:
    main(["pack", "new", "mail"])

    def digest() -> str:
        capsys.readouterr()
        assert main(["pack", "verify", "mail", "-o", "json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        return str(row["digest"])

    before = digest()
    (clone / "packs/mail/settings.yaml").write_text("url: http://127.0.0.1:9000\n")
    assert digest() == before
    (clone / "packs/mail/actions/title.py").write_text("print('{}')\n")
    assert digest() != before


def test_verify_shows_problems_where_they_stand(clone: Path, capsys: Said) -> None:
    main(["pack", "new", "mail"])
    (clone / "packs/mail/settings.yaml").write_text("url: 5\n")
    capsys.readouterr()

    assert main(["pack", "verify", "packs/mail"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == (
        "packs/mail/settings.yaml:1:6: wrong_type: url of mail has to be text"
    )
    assert main(["pack", "verify", "male"]) == 3


NAMED = "secrets: [env/MAIL_TOKEN]"


def test_preflight_names_what_packs_ask_for(
    clone: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XYN_HOME", "POSTGRES_PASSWORD", "MAIL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    main(["pack", "new", "mail"])
    pack = clone / "packs/mail/pack.yaml"
    pack.write_text(pack.read_text().replace("secrets: [sys/local/integrations/mail]", NAMED))
    (clone / "packs/mail/settings.yaml").write_text("{}\n")
    capsys.readouterr()

    assert main(["preflight"]) == 1
    assert capsys.readouterr().out == "MAIL_TOKEN is not set: the pack mail asks for it\n"
    monkeypatch.setenv("MAIL_TOKEN", "made-up")
    assert main(["preflight"]) == 0
