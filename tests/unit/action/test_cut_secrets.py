"""A secret that lies across a cut is gone whole: no half of it stays in what is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action.http_answer import judged
from xyn_reconciler.action.output import Output
from xyn_reconciler.action.pack_program import answer
from xyn_reconciler.action.program_output import MOST_LOG, Ended, Printed
from xyn_reconciler.agent.answers import outputs_of
from xyn_reconciler.agent.question import Answer
from xyn_reconciler.model.errors import StepError
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.schema_check import mismatch

SECRET: Final = "Kj4-canary_Zp9qLm2xVb7"
REDACTOR: Final = Redactor([SECRET])
CONTEXT: Final = an_attempt(redact=REDACTOR.text)


def whole_of(said: str) -> bool:
    """Whether no part of the secret that would be of use is in a text."""
    return not any(SECRET[at : at + 6] in said for at in range(len(SECRET) - 5))


@pytest.mark.parametrize("filling", [0, 100_000])
@pytest.mark.parametrize("into", range(0, len(SECRET) + 2, 3))
def test_what_a_command_prints_is_cut_around_a_secret(into: int, filling: int) -> None:
    half = 50
    data = f"{'a' * (half - into)}{SECRET}{'b' * (100 + filling)}{SECRET}{'c' * (half - into)}"
    with Output("stdout", CONTEXT, keep=2 * half) as output:
        for at in range(0, len(data), 7919):
            output.take(data[at : at + 7919].encode())
        text = output.text()

    assert whole_of(text)
    assert text.startswith("aaaa")
    assert text.endswith("cccc")


def test_a_text_full_of_secrets_has_no_half_of_one_at_its_cuts() -> None:
    data = "\n".join([SECRET] * 10_000)
    with Output("stdout", CONTEXT) as output:
        output.take(data.encode())
        text = output.text()

    assert output.cut
    assert whole_of(text)


@pytest.mark.parametrize("before", [10, 4090, 5000, 65_530, 70_000])
def test_a_line_of_a_program_that_comes_in_two_pieces_hides_no_secret(before: int) -> None:
    lines: list[str] = []
    live = REDACTOR.stream()
    shown: list[str] = []

    def log(line: str) -> None:
        lines.append(REDACTOR.text(line))
        shown.append(live.feed(f"{line}\n"))

    context = replace(CONTEXT, log=log, live=lambda text: shown.append(live.feed(text)))
    printed = Printed(context)
    printed.say(b"x" * before + SECRET[:9].encode())
    printed.say(SECRET[9:].encode() + b"y" * (MOST_LOG // 16))
    said = printed.ended(3).said
    shown.append(live.end())

    assert whole_of("".join(lines))
    assert whole_of("".join(shown))
    assert whole_of(said)


FAR: Final = 400


@pytest.mark.parametrize(
    ("fail", "most"),
    [
        (lambda text: answer(ended(text.encode()), REDACTOR.text), 200),
        (lambda text: answer(ended(b"", 3, text), REDACTOR.text), 200),
        (lambda text: answer(ended(failure(text)), REDACTOR.text), 4000),
        (
            lambda text: judged({"status": 500, "body": text, "headers": {}}, None, REDACTOR.text),
            2000,
        ),
        (
            lambda text: outputs_of(
                Answer(text=text, raw=b"{}", usage=None), {"type": "object"}, REDACTOR.text
            ),
            2000,
        ),
    ],
)
def test_what_is_told_of_a_failure_is_cut_around_a_secret(
    fail: Callable[[str], object], most: int
) -> None:
    for before in range(most - len(SECRET), most, 3):
        with pytest.raises(StepError) as raised:
            fail("x" * before + SECRET + "y" * FAR)
        told = REDACTOR.text(f"{raised.value.message}")
        assert whole_of(told)
        assert whole_of(str(REDACTOR.value({"details": raised.value.details})))


def test_what_does_not_fit_a_schema_is_told_without_half_a_secret() -> None:
    for before in range(460, 500, 3):
        problem = mismatch({"type": "integer"}, "x" * before + SECRET, REDACTOR.text)
        assert problem is not None
        assert whole_of(problem)


def ended(stdout: bytes, status: int = 0, said: str = "") -> Ended:
    return Ended(status=status, stdout=stdout, said=said)


def failure(text: str) -> bytes:
    return b'{"error": {"code": "a", "message": "%s"}}' % text.encode()
