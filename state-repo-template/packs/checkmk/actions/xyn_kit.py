"""Write an action of a pack in a few lines: copy this file beside yours, into ``actions/``.

    from xyn_kit import Failure, Request, action, log

    @action
    def greet(request: Request) -> dict[str, object]:
        if not request.inputs["name"]:
            raise Failure("no_name", "there is nobody to greet")
        log("greeting")
        return {"text": f"Hello, {request.inputs['name']}!"}

    if __name__ == "__main__":
        greet()

It needs Python 3.8 and nothing else. What Xyn says stands on standard input, the answer goes to
standard output; ``print`` says something for the log instead, as :func:`log` does. Whatever is
raised that is no :class:`Failure` is a fault of the program: its last line is what people read.
A program has no network. What it wants to know of outside it has asked for, see
:meth:`Request.ask`; then it is run anew from its beginning, with the answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Action", "Failure", "Request", "action", "log"]


@dataclass(frozen=True)
class Request:
    """One attempt of one step."""

    action: str
    """The name in ``pack.yaml``."""
    inputs: Mapping[str, Any]
    """They fit ``input_schema``; its defaults are filled in."""
    settings: Mapping[str, Any]
    """``settings.yaml`` of the pack, with the defaults."""
    config: Mapping[str, Any]
    """What stands in the pack's ``config/``: ``config/edge.yaml`` is ``edge``."""
    secrets: Mapping[str, str]
    """Reference -> value, of those that ``run.secrets`` names. Keep them out of the outputs."""
    idempotency_key: str | None
    """The same at each attempt: hand it on, so that nothing is done twice."""
    run_id: str
    step_id: str
    attempt: int
    """From 1."""
    now: str
    """When the attempt began, with its zone: it stays the same while the program asks."""

    def ask(
        self, of: str, method: str = "GET", path: str = "", **more: object
    ) -> Mapping[str, Any]:
        """Have a request made, and give ``status``, ``headers``, ``body`` and ``json``.

        ``of`` is a name in ``run.ask`` of ``pack.yaml``, which says where it goes and who asks;
        ``path`` follows its URL. ``more``: ``query``, ``headers``, one of ``json``, ``form`` and
        ``body``, and ``tls`` with ``ca`` and ``server_name``. Another status than 2xx is a
        :class:`Failure` with the code ``http_status``; ``details`` has ``status`` and ``body``.
        """
        if not _answers:
            raise _Asks({"of": of, "method": method, "path": path, **more})
        answer = _answers.pop(0)
        if "error" in answer:
            raise Failure(**answer["error"])
        found: Mapping[str, Any] = answer
        return found


_answers: list[Any] = []
"""What came of the requests so far, and is not read yet."""


class _Asks(BaseException):
    """Ends the program until the answer is there."""


class Failure(Exception):  # noqa: N818 - what it is called in a pack: raise Failure(...)
    """How the step fails: a code in lower_case, and what people read.

    ``temporary`` where another attempt may succeed, not before ``retry_after`` seconds.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        temporary: bool = False,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.details = code, details or {}
        self.told = {
            "code": code,
            "message": message,
            "temporary": temporary,
            "retry_after": retry_after,
        }


class Action:
    """A function that answers: called without arguments it reads and prints, once."""

    def __init__(self, function: Callable[[Request], Mapping[str, Any]]) -> None:
        self.function = function
        """What it does, for tests: give it a :class:`Request`."""

    def __call__(self) -> None:
        """Read the request, do it, and print the answer."""
        out, sys.stdout = sys.stdout, sys.stderr
        told = json.load(sys.stdin)
        _answers[:] = told.pop("answers")
        try:
            answer = {"outputs": self.function(Request(**told))}
        except _Asks as asks:
            answer = {"ask": asks.args[0]}
        except Failure as failure:
            answer = {"error": failure.told}
        json.dump(answer, out, allow_nan=False)
        out.flush()


def action(function: Callable[[Request], Mapping[str, Any]]) -> Action:
    """Make a function from a request to outputs the action that this file is."""
    return Action(function)


def log(*words: object) -> None:
    """Say something to the run's log, and to whoever watches."""
    if not _answers:  # Else it was said already, before the answers came.
        print(*words, file=sys.stderr, flush=True)  # noqa: T201 - standard error is the log
