"""From a model's answer to a step's outputs.

Pure. What the provider promises about the schema is not relied on.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from xyn_reconciler.agent.question import Answer
from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import PermanentError, TemporaryError

_EXCERPT: Final = 2000
_OF_THE_MOMENT: Final = frozenset({"server_error", "rate_limit_exceeded"})
"""Codes of a response of OpenAI's that failed, for which the request is not to blame."""


def outputs_of(
    answer: Answer, schema: Mapping[str, Any] | None, redact: Callable[[str], str] = str
) -> dict[str, Any]:
    """Give ``{text}``, or the object that the schema describes.

    ``redact`` takes out secrets before a text is cut, which would leave half of one.
    Raises ``PermanentError`` (``refused``, ``max_tokens``) for an answer that
    did not come to its end, ``TemporaryError`` for one that does not fit
    (``invalid_output``: the next may) or that the provider failed in.
    """
    if answer.stopped == "max_tokens":
        message = "the answer was cut off; raise budget.max_output_tokens, or ask for less"
        raise PermanentError(
            "max_tokens", message, details={"text": redact(answer.text)[:_EXCERPT]}
        )
    if answer.stopped in _OF_THE_MOMENT:
        message = f"the provider failed ({answer.stopped}): {answer.text}"
        raise TemporaryError("provider_error", message)
    if answer.stopped is not None:
        message = f"the model did not answer ({answer.stopped}): {answer.text}"
        raise PermanentError("refused", message)
    if schema is None:
        return {"text": answer.text}
    try:
        value = strict_json.loads(answer.text)
    except ValueError as error:
        raise _invalid(f"it is not JSON: {error}", answer, redact) from error
    if not isinstance(value, dict):
        raise _invalid("it is not an object", answer, redact)
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - 4 MiB that few workers need

    from xyn_reconciler.model.schema_check import SafeValidator  # noqa: PLC0415 - as above

    problem = best_match(SafeValidator(dict(schema)).iter_errors(value))
    if problem is not None:
        raise _invalid(f"{problem.json_path}: {problem.message}", answer, redact)
    return value


def _invalid(why: str, answer: Answer, redact: Callable[[str], str]) -> TemporaryError:
    message = f"the answer does not fit output_schema: {why}"
    details = {"text": redact(answer.text)[:_EXCERPT]}
    return TemporaryError("invalid_output", message, details=details)
