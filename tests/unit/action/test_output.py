"""What a command printed, however much it was."""

import io
import uuid
from dataclasses import replace
from typing import BinaryIO

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action.output import Output
from xyn_reconciler.model.redaction import Redactor

PLAIN = an_attempt()


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("length", [0, 9, 10, 11, 25, 60])
def test_the_beginning_and_the_end_are_kept_however_it_is_cut_up(size: int, length: int) -> None:
    data = bytes(97 + number % 26 for number in range(length))
    with Output("stdout", PLAIN, keep=10) as output:
        for start in range(0, length, size):
            output.take(data[start : start + size])

        text = output.text()

    whole = data.decode()
    if length <= 10:
        assert text == whole
    else:
        left_out = f"\n[... {length - 10} bytes left out ...]\n"
        assert text == whole[:5] + left_out + whole[-5:]
    assert output.cut == (length > 10)


def test_the_whole_is_an_artifact_only_where_the_outputs_do_not_hold_it() -> None:
    kept: list[bytes] = []

    def keep(
        *,
        name: str,
        kind: str,
        content_type: str,
        content: bytes | BinaryIO,
        retention: str | None = None,
    ) -> uuid.UUID:
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        kept.append(stream.read())
        return uuid.UUID(int=1)

    context = replace(PLAIN, artifact=keep, artifact_max=40_000)
    found = []
    for length in (10, 25, 60_000):
        with Output("stdout", context, keep=10) as output:
            output.take(b"x" * length)
            found.append(output.outputs())

    assert "stdout_artifact" not in found[0]
    assert found[1]["stdout_artifact"] == str(uuid.UUID(int=1))
    assert found[2]["stdout_bytes"] == 60_000
    assert [len(content) for content in kept] == [25, 40_000 - 16_384]


@pytest.mark.parametrize("before", range(40_000 - 16, 40_000, 5))
def test_no_half_of_a_secret_stays_where_the_artifact_had_to_end(before: int) -> None:
    secret = "hunter2-hunter2-"
    kept: list[bytes] = []

    def keep(*, content: bytes | BinaryIO, **_: object) -> uuid.UUID:
        kept.append(content if isinstance(content, bytes) else content.read())
        return uuid.UUID(int=1)

    context = replace(PLAIN, artifact=keep, artifact_max=40_000, redact=Redactor([secret]).text)
    with Output("stdout", context, keep=10) as output:
        output.take(b"x" * before + secret.encode() + b"y" * 100)
        output.outputs()

    assert set(kept[0]) == {ord("x")}
