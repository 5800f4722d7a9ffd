"""What a program of a pack is told and what it answers: one JSON object each way.

Pure. Standard input and output are the whole of it, so that an action can be written in any
language and tried in a shell. The trap: what it prints may be anything, so nothing but
exactly one answer of the right form counts as one.
"""

import datetime as dt
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.action.program_output import Ended
from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OF_AN_ERROR: Final = frozenset({"code", "message", "temporary", "retry_after"})
_OF_HTTP: Final = frozenset({"body", "form", "headers", "json", "method", "query"})
_OF_A_REQUEST: Final = _OF_HTTP | {"of", "path", "tls"}
_OF_TLS: Final = frozenset({"ca", "server_name"})
_PATH: Final = re.compile(r"(/[^/?#\s]*)*")
_UP: Final = re.compile(r"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:[;/\\]|%2f|%5c|%3b|$)", re.IGNORECASE)
"""A segment that leads back up, for a server that decodes before it looks, too."""
_LONGEST_MESSAGE: Final = 4000
_LONGEST_WAIT: Final = 3600
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the program wants made before it can say more."""

    of: str
    """Whom: a name in ``run.ask``."""
    path: str
    """Added to the URL that is declared there."""
    more: dict[str, Any]
    """What ``http.call`` is given of it, as it is."""
    tls: dict[str, Any]


def answer(ended: Ended, redact: Callable[[str], str]) -> dict[str, Any] | Asked:
    """Give the outputs of a program that has ended, or what it asks for.

    ``redact`` takes secrets out of what is shown, before it is cut: half of one is not known.

    Raises the failure that it tells of, or ``exit_status``, ``killed``, ``cpu_limit`` and
    ``invalid_answer``.
    """
    if ended.status < 0:
        raise _killed(-ended.status, ended.said)
    try:
        said = _one_object(ended.stdout, redact)
    except StepError:
        if ended.status != 0:
            raise _exit_status(ended, redact) from None  # Half an answer is not what went wrong.
        raise
    if "error" in said:
        raise _failure(said["error"], redact)
    if ended.status != 0:
        raise _exit_status(ended, redact)
    if "ask" in said:
        return _asked(said["ask"])
    found = said["outputs"]
    if not isinstance(found, dict):
        raise _invalid("its outputs are no JSON object")
    return found


def _one_object(stdout: bytes, redact: Callable[[str], str]) -> dict[str, Any]:
    if not stdout.strip():
        raise _invalid("it printed nothing (one with xyn_kit ends by calling its action)")
    try:
        said = strict_json.loads(stdout)
    except ValueError as error:
        shown = _beginning(stdout, redact)
        raise _invalid(f"it printed {shown}, which is not one JSON object ({error})") from error
    if not isinstance(said, dict) or said.keys() not in ({"outputs"}, {"error"}, {"ask"}):
        shown = _beginning(stdout, redact)
        raise _invalid(
            f'it printed {shown}: an object with "outputs", "error" or "ask" was expected'
        )
    return said


def _beginning(stdout: bytes, redact: Callable[[str], str]) -> str:
    return repr(redact(stdout.decode("utf-8", "backslashreplace"))[:_SHOWN])


def _failure(error: object, redact: Callable[[str], str]) -> StepError:
    if not isinstance(error, dict) or error.keys() - _OF_AN_ERROR:
        return _invalid("an error has code, message, and perhaps temporary and retry_after")
    code, message = error.get("code"), error.get("message")
    temporary, wait = error.get("temporary", False), error.get("retry_after")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return _invalid("the code of its error is not of the form lower_case")
    if not isinstance(message, str) or not isinstance(temporary, bool):
        return _invalid("message of its error is text, and temporary is true or false")
    if wait is not None and (isinstance(wait, bool) or not isinstance(wait, int | float)):
        return _invalid("retry_after of its error is no number of seconds")
    text = redact(message)[:_LONGEST_MESSAGE]
    if not temporary:
        return PermanentError(code, text)
    delay = None if wait is None else dt.timedelta(seconds=min(max(wait, 0), _LONGEST_WAIT))
    return TemporaryError(code, text, delay=delay)


def _asked(asked: object) -> Asked:
    if not isinstance(asked, dict) or asked.keys() - _OF_A_REQUEST:
        raise _invalid(f"what it asks is of {', '.join(sorted(_OF_A_REQUEST))}")
    more = {name: value for name, value in asked.items() if name in _OF_HTTP}
    of, path, tls = asked.get("of"), asked.get("path", ""), asked.get("tls", {})
    if not isinstance(of, str):
        raise _invalid("of is the name of one of run.ask")
    if not isinstance(tls, dict) or tls.keys() - _OF_TLS:
        raise _invalid(f"tls of what it asks is of {', '.join(sorted(_OF_TLS))}")
    if not isinstance(path, str) or not _PATH.fullmatch(path) or _UP.search(path):
        raise _invalid("the path of what it asks begins with / and has neither ? nor # nor ..")
    return Asked(of, path, more, tls)


def request_of(asked: Asked, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Give what ``http.call`` is given: what is declared (rendered), and the program's own."""
    call = {**declared, **asked.more, "url": f"{str(declared['url']).rstrip('/')}{asked.path}"}
    for name in ("query", "headers"):
        both = {**declared.get(name, {}), **(asked.more.get(name) or {})}
        given = {key: value for key, value in both.items() if value is not None}
        call |= {name: given} if given else {}
    if asked.tls:
        call["tls"] = {**declared.get("tls", {}), **asked.tls}
    return call


def _exit_status(ended: Ended, redact: Callable[[str], str]) -> PermanentError:
    last = ended.said.splitlines()[-1:] or ["it said nothing"]
    return PermanentError(
        "exit_status",
        f"the program ended with exit status {ended.status}: {redact(last[0])[:_SHOWN]}",
        details={"exit_status": ended.status, "stderr": ended.said},
    )


def _killed(number: int, said: str) -> PermanentError:
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    details = {"signal": name, "stderr": said}
    if number == signal.SIGXCPU:
        message = "the program used all the time that the step has, on the processor"
        return PermanentError("cpu_limit", message, details=details)
    return PermanentError("killed", f"the program was ended by {name}", details=details)


def _invalid(why: str) -> PermanentError:
    return PermanentError("invalid_answer", f"the program's answer is none: {why}")
