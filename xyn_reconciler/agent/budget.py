"""How many tokens a question may still use.

Pure. What a prompt is in tokens only its provider knows beforehand; it is guessed
from its length, so a budget can be passed by what the guess was short.

The trap: a question under way holds the most that it may use, which mostly is far more
than it will. Where that leaves too little, one waits for it to end, rather than fail or
be cut short.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from xyn_reconciler.model.errors import PermanentError, TemporaryError

LEAST_ANSWER: Final = 16
"""Tokens of the shortest answer that may be asked for (OpenAI's own limit)."""

SCOPES: Final = ("step", "run", "day")

Used = Mapping[str, tuple[int, int]]
"""By scope: tokens that are used, and those set aside for questions under way."""


class BusyError(TemporaryError):
    """Others' questions are under way, and hold what this one wants."""


class SetAside(Protocol):
    """Sets tokens aside for one question, so that no other is given the same."""

    def __call__(
        self,
        run_id: uuid.UUID,
        step_id: uuid.UUID,
        decide: Callable[[Used], int],
    ) -> Callable[[int], None]:
        """Set aside what ``decide`` says.

        It is given what the step, the run and the day have used; what it raises comes
        through. The result is called with what the question used in the end.
        """
        ...


def most_output(budgets: Mapping[str, int], used: Used, *, tokens_in: int, wanted: int) -> int:
    """Give the longest answer that may be asked for, at most ``wanted``.

    Raises ``PermanentError`` (``budget_exceeded``) where there is none left, ``BusyError``
    where there may be more once others' questions have ended.
    """
    most = wanted
    for scope in SCOPES:
        if scope not in budgets:
            continue
        spent, under_way = used[scope]
        left = budgets[scope] - spent - tokens_in
        if left < min(LEAST_ANSWER, wanted):
            message = (
                f"the budget of this {scope} is {budgets[scope]:,} tokens: {spent:,} are used,"
                f" and the prompt is some {tokens_in:,}; budgets.{scope} in node.yaml raises it"
            )
            raise PermanentError("budget_exceeded", message)
        if under_way and left - under_way < most:
            message = f"{under_way:,} tokens of this {scope}'s budget are set aside by others"
            raise BusyError("budget_busy", message)
        most = min(most, left)
    return most
