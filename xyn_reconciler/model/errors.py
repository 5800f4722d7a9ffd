"""The two kinds of trouble: problems are found in files and returned, errors end an operation.

Every room relies on these few. Errors of one room live beside the code that
raises them and derive from one of the classes here, so that the API and the
CLI can answer each with its code (seed 45.7) without knowing the room.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in one file; line and column count from 1, as editors do."""

    path: str
    line: int
    column: int
    code: str
    """Stable, snake_case, documented: ``missing_key``."""
    message: str
    """Says what to do: ``a gate needs a mode``."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.code}: {self.message}"


class XynError(Exception):
    """An operation that ended without its result.

    ``code`` is stable and repeated by the API, ``http_status`` and
    ``exit_code`` are how the API and ``xynctl`` answer it, ``details`` is JSON.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidError(XynError):
    """What was asked is not well formed."""

    code = "invalid_request"
    http_status = 422


class NotFoundError(XynError):
    """Nothing of that name exists here."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class ConflictError(XynError):
    """What was asked does not fit what is there now."""

    code = "conflict"
    http_status = 409
    exit_code = 4


class NeedsApprovalError(XynError):
    """Somebody has to agree first."""

    code = "needs_approval"
    http_status = 403
    exit_code = 5


class DeniedError(XynError):
    """Whoever asks may not do this, whoever agrees."""

    code = "denied"
    http_status = 403


class UnavailableError(XynError):
    """A part that this needs does not answer at the moment; asking again later is right."""

    code = "unavailable"
    http_status = 503


class ProblemsError(InvalidError):
    """Files were refused; carries every problem, sorted."""

    code = "validation_failed"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__(
            "\n".join(map(str, self.problems)), details={"problems": list(map(str, self.problems))}
        )


class StepError(XynError):
    """A step runner's failure. ``code`` here belongs to the failure, not to the class."""

    def __init__(
        self, failure_code: str, message: str, *, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message, details=details)
        self.failure_code = failure_code


class TemporaryError(StepError):
    """Worth another attempt, not before ``delay`` where the other side named one."""

    def __init__(
        self,
        failure_code: str,
        message: str,
        *,
        delay: dt.timedelta | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(failure_code, message, details=details)
        self.delay = delay


class PermanentError(StepError):
    """Another attempt would fail the same way; retried only under ``retry.on: any``."""
