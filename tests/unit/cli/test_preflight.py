import stat
from pathlib import Path

import pytest

from xyn_reconciler.cli.main import main

LOCAL = 'services: {xyn: {ports: ["127.0.0.1:8080:8080", "[::1]:8080:8080"]}}\n'


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "XYN_HOME",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "POSTGRES_PASSWORD",
        "XYN_PUBLISHED_ON_LOOPBACK",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def preflight(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["preflight"])
    return code, capsys.readouterr().out


def test_the_first_start_needs_no_key_and_gets_a_template_that_only_its_owner_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("compose.yaml").write_text(LOCAL)

    code, said = preflight(capsys)

    assert code == 0, said
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    text = (tmp_path / ".env").read_text()
    assert "\nPOSTGRES_PASSWORD=" in text
    assert "\n# OPENAI_API_KEY=\n" in text
    assert "To turn one on" in text
    assert "XYN_PUBLISHED_ON_LOOPBACK" not in text


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["preflight", "--env", "nowhere/.env"])

    assert code == 1
    assert f"{tmp_path}/nowhere/.env cannot be written (No such" in capsys.readouterr().err


def test_a_file_that_is_there_is_left_as_it_is_and_what_it_lacks_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("compose.yaml").write_text(LOCAL)
    (tmp_path / ".env").write_text("XYN_PORT=8081\n")

    code, said = preflight(capsys)

    assert code == 1
    assert said.startswith("POSTGRES_PASSWORD is missing")
    assert (tmp_path / ".env").read_text() == "XYN_PORT=8081\n"


@pytest.mark.parametrize(
    "service",
    [
        'ports: ["8080:8080"]',
        'ports: ["0.0.0.0:8080:8080"]',
        "ports: [{target: 8080, published: 8080}]",
        'ports: ["127.0.0.10:8080:8080"]',
        'ports: ["${BIND:-127.0.0.1}:8080:8080"]',
        "network_mode: host",
    ],
)
def test_a_port_published_beyond_this_machine_is_refused(
    service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("compose.yaml").write_text(LOCAL)
    Path("compose.override.yaml").write_text(f"services: {{xyn: {{{service}}}}}\n")

    code, said = preflight(capsys)

    assert code == 1
    assert "compose.override.yaml: service xyn" in said
    assert "127.0.0.1" in said


def test_the_word_of_compose_does_not_come_from_anywhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("XYN_PUBLISHED_ON_LOOPBACK=1\n")

    code, said = preflight(capsys)

    assert code == 1
    assert "XYN_PUBLISHED_ON_LOOPBACK" in said
    assert "compose.yaml alone" in said


@pytest.mark.parametrize(
    ("key", "code"), [("", 1), ("OPENAI_API_KEY", 0), ("ANTHROPIC_API_KEY", 1)]
)
def test_an_enabled_provider_needs_its_key(
    key: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("node.yaml").write_text("id: seed\nproviders: {openai: {enabled: true}}\n")
    if key:
        monkeypatch.setenv(key, "k")

    found, said = preflight(capsys)

    assert found == code, said
    assert ("OPENAI_API_KEY is missing" in said) is bool(code)


def test_a_provider_whose_key_is_kept_elsewhere_asks_for_no_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("node.yaml").write_text(
        "id: seed\nproviders: {openai: {enabled: true, key_ref: sys/local/providers/openai}}\n"
    )

    found, said = preflight(capsys)

    assert found == 0, said
    assert "none enabled" not in said


PACK = """\
id: mail
version: 0.1.0
requires: {secrets: [env/MAIL_TOKEN], variables: [MAIL_HOME]}
settings: {type: object, properties: {url: {type: string, default: "http://mail"}}}
"""


def test_a_pack_is_asked_about_once_it_is_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    Path("node.yaml").write_text("id: local\n")
    folder = Path("packs/mail")
    folder.mkdir(parents=True)
    (folder / "pack.yaml").write_text(PACK)
    without = preflight(capsys)
    (folder / "settings.yaml").write_text("{}\n")
    code, said = preflight(capsys)

    assert without[0] == 0, without[1]
    assert code == 1
    assert "MAIL_TOKEN is not set: the pack mail asks for it" in said
    assert "MAIL_HOME is not set: the pack mail asks for it" in said
