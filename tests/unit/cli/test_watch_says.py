"""``xynctl run watch`` passes on what steps say: once, and as text."""

from typing import Any

import pytest

from xyn_reconciler.cli.commands.runs import _say


def item(start: int, text: str) -> dict[str, Any]:
    return {"attempt_id": "a", "start": start, "text": text}


def test_only_what_is_new_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    said: dict[str, int] = {}

    _say([item(0, "one\n")], said)
    _say([item(0, "one\ntwo\n")], said)
    _say([item(4, "two\nthree\n")], said)
    _say([item(100, "much later\n")], said)

    assert capsys.readouterr().err == "one\ntwo\nthree\nmuch later\n"


def test_what_is_said_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _say([item(0, "\x1b[2Jred\n")], {})

    assert capsys.readouterr().err == "\\x1b[2Jred\n"
