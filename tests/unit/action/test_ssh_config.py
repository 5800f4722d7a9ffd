"""What ``ssh.run`` makes of ``~/.ssh/config``; it never comes to a connection here."""

from pathlib import Path

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action.ssh_config import configuration
from xyn_reconciler.action.ssh_run import SshRun
from xyn_reconciler.model.errors import PermanentError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".ssh" / "config"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "Match",
        "Host *\n  Port ssh",
        "Host *\n  Port 99999",
        "Host *\n  ConnectTimeout soon",
        "CanonicalizeHostname yes\nCanonicalDomains a.invalid\nCanonicalizeFallbackLocal no",
    ],
)
def test_a_configuration_that_cannot_be_followed_is_named(config: Path, text: str) -> None:
    config.write_text(text)

    with pytest.raises(PermanentError) as caught:
        SshRun().run({"host": "web-1", "argv": ["true"]}, an_attempt())

    assert caught.value.failure_code == "invalid_ssh_config"


def test_a_configuration_runs_no_program(config: Path, tmp_path: Path) -> None:
    config.write_text(f'Match host db-* exec "touch {tmp_path}/ran"\n  User ada\n')
    rules = configuration().base_ssh_config

    assert "user" not in rules.lookup("web-1")
    with pytest.raises(PermanentError, match="no program is run"):
        rules.lookup("db-1")
    assert not (tmp_path / "ran").exists()


def test_bytes_that_are_no_text_stand_in_comments_too(config: Path) -> None:
    config.write_bytes(b"# caf\xe9\nHost web-1\n  User ada\n")

    assert configuration().base_ssh_config.lookup("web-1")["user"] == "ada"
