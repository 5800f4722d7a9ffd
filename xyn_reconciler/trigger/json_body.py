"""Read a body that strangers send, and never fail but with :class:`InvalidJsonError`.

What counts as JSON is :mod:`xyn_reconciler.model.strict_json`'s matter.
"""

import json
from typing import Any

from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import InvalidError


class InvalidJsonError(InvalidError):
    """A body is not JSON; the message ends with line and column, from 1."""

    code = "invalid_json"
    http_status = 422


def read(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Give the value of a body."""
    try:
        return strict_json.loads(body)
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8")
        place = json.JSONDecodeError("it is not UTF-8", before, len(before))
        raise _invalid(place) from error
    except json.JSONDecodeError as error:
        raise _invalid(error) from error


def read_object(body: bytes) -> dict[str, Any]:
    """Give the value where an object is needed: any other one becomes ``{"value": …}``."""
    value = read(body)
    return value if isinstance(value, dict) else {"value": value}


def _invalid(error: json.JSONDecodeError) -> InvalidJsonError:
    return InvalidJsonError(
        f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})",
        details={"line": error.lineno, "column": error.colno},
    )
