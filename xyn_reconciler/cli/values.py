"""NAME=VALUE of a command line as the JSON that a schema asks for."""

import json
from collections.abc import Mapping
from typing import Any

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
        return json.loads(text)
    except ValueError as error:
        raise InvalidError(
            f"{kind} {name} is of type {wanted}, and {text!r} is not: {error}"
        ) from error
