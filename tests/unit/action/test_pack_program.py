"""What counts as an answer of a program, and what does not."""

import datetime as dt
import json
import signal
from typing import Any

import pytest

from xyn_reconciler.action.pack_program import Asked, answer, request_of
from xyn_reconciler.action.program_output import Ended
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError


def ended(stdout: bytes, status: int = 0, said: str = "") -> Ended:
    return Ended(status=status, stdout=stdout, said=said)


def failed(stdout: bytes, status: int = 0, said: str = "") -> StepError:
    with pytest.raises(StepError) as caught:
        answer(ended(stdout, status, said), str)
    return caught.value


@pytest.mark.parametrize(
    "stdout", [b'{"outputs": {"a": 1}}', b'{"outputs": {"a": 1}}\n', b' \n{"outputs":\n{"a": 1}} ']
)
def test_outputs_are_one_json_object_with_or_without_an_end_of_line(stdout: bytes) -> None:
    assert answer(ended(stdout), str) == {"a": 1}


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"done",
        b"\x00\xff\xfe\x80" * 50,
        b'{"outputs": {}}{"outputs": {}}',
        b'{"outputs": {}}\n{"outputs": {}}\n',
        b'debug: 1\n{"outputs": {}}',
        b'{"outputs": {}',
        b'{"outputs": {"a": NaN}}',
        b'{"outputs": []}',
        b'{"outputs": null}',
        b'{"outputs": {}, "error": {}}',
        b'{"output": {}}',
        b"{}",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"outputs": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}",
        b'{"error": "no"}',
        b'{"error": {}}',
        b'{"error": {"code": "No Code", "message": ""}}',
        b'{"error": {"code": "no", "message": 3}}',
        b'{"error": {"code": "no", "message": "", "retry_after": "soon"}}',
        b'{"error": {"code": "no", "message": "", "retry_after": true}}',
        b'{"error": {"code": "no", "message": "", "more": 1}}',
        b'{"error": {"code": "no", "message": "", "temporary": "yes"}}',
    ],
)
def test_anything_else_is_no_answer(stdout: bytes) -> None:
    found = failed(stdout)

    assert isinstance(found, PermanentError)
    assert found.failure_code == "invalid_answer"
    assert len(found.message) < 2000


def test_a_program_that_says_nothing_is_told_what_it_lacks() -> None:
    assert "ends by calling its action" in failed(b"\n").message


@pytest.mark.parametrize(("temporary", "kind"), [(True, TemporaryError), (False, PermanentError)])
@pytest.mark.parametrize("status", [0, 1])
def test_a_failure_is_the_programs_own(temporary: Any, kind: type, status: int) -> None:  # noqa: ANN401 - parametrized
    told = b'{"error": {"code": "no_host", "message": "gone", "temporary": %s}}'
    found = failed(told % (b"true" if temporary else b"false"), status)

    assert isinstance(found, kind)
    assert (found.failure_code, found.message) == ("no_host", "gone")


@pytest.mark.parametrize(("asked", "waits"), [(3, 3), (1.5, 1.5), (-1, 0), (1e300, 3600)])
def test_a_failure_says_how_long_to_wait_within_reason(asked: float, waits: float) -> None:
    told = f'{{"error": {{"code": "a", "message": "", "temporary": true, "retry_after": {asked}}}}}'
    found = failed(told.encode())

    assert isinstance(found, TemporaryError)
    assert found.delay == dt.timedelta(seconds=waits)


@pytest.mark.parametrize("stdout", [b"", b'{"outputs": {}}', b'{"outputs": {"a": '])
def test_an_exit_status_is_a_failure_that_shows_the_last_line(stdout: bytes) -> None:
    found = failed(stdout, 3, "Traceback\nValueError: that")

    assert found.failure_code == "exit_status"
    assert "status 3: ValueError: that" in found.message


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, "killed"), (signal.SIGSEGV, "killed"), (signal.SIGXCPU, "cpu_limit")],
)
def test_a_signal_is_a_failure_by_its_name(number: signal.Signals, code: str) -> None:
    found = failed(b'{"outputs": {}}', -number)

    assert found.failure_code == code
    assert found.details is not None
    assert found.details["signal"] == number.name


@pytest.mark.parametrize(
    "path", ["", "/", "/a/b", "/.well-known/x", "/..a", "//a", "/%2e%2e%2e", "/group%2Fproject"]
)
def test_a_program_asks_below_what_is_declared(path: str) -> None:
    asked = answer(ended(json.dumps({"ask": {"of": "api", "path": path}}).encode()), str)

    assert isinstance(asked, Asked)
    assert request_of(asked, {"url": "http://h/api/"})["url"] == f"http://h/api{path}"


@pytest.mark.parametrize(
    "path",
    ["a", "@evil", ".evil", ":80", "/..", "/../x", "/a/./b", "/a/%2e%2E/b", "/.%2e", "/a?b", "/a#b",
     "/a b", "/a\n", "/a\tb", "/%2e%2e%2fadmin", "/a%2F..", "/a/..\\x", "/..;/x", "/..%3bx",
     "/a%5c%2e%2e/x"],
)  # fmt: skip
def test_a_program_cannot_ask_elsewhere(path: str) -> None:
    found = failed(json.dumps({"ask": {"of": "api", "path": path}}).encode())

    assert found.failure_code == "invalid_answer"
