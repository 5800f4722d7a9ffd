"""What is typed on a command line, as the JSON that is asked for."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import InvalidError


def typed(
    schemas: Mapping[str, Mapping[str, Any]], name: str, text: str, *, of: str, kind: str
) -> Any:  # noqa: ANN401 - any JSON value
    """Read a value as it is declared; one that is not a string is JSON. Raises ``InvalidError``.

    ``of`` and ``kind`` are words for the message: a ``blueprint`` and its ``input``.
    """
    if name not in schemas:
        known = ", ".join(schemas) or "none"
        raise InvalidError(f"the {of} has no {kind} {name!r}; it has {known}")
    wanted = schemas[name].get("type", "string")
    if wanted == "string":
        return text
    try:
        return strict_json.loads(text)
    except ValueError as error:
        raise InvalidError(
            f"{kind} {name} is of type {wanted}, and {text!r} is not: {error}"
        ) from error


def json_object(text: str, option: str) -> str:
    """Read a JSON object: the text itself, ``@file``, or ``-`` for standard input.

    Gives it as it was written: numbers and order stay what they are. Raises ``InvalidError``.
    """
    place = option
    if text == "-" or text.startswith("@"):
        place = "standard input" if text == "-" else text[1:]
        try:
            raw = sys.stdin.buffer.read() if text == "-" else Path(place).read_bytes()
            text = raw.decode("utf-8-sig")
        except OSError as error:
            raise InvalidError(f"{place} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InvalidError(f"{place} is not text in UTF-8: {error}") from error
    try:
        data = strict_json.loads(text)
    except ValueError as error:
        raise InvalidError(f"{place} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InvalidError(f'{place} must be a JSON object, as in \'{{"host": "web-1"}}\'')
    return text
