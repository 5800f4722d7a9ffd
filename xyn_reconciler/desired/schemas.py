"""JSON Schemas (2020-12) of the documents, for editors and for ``xynctl schema KIND``.

Generated from the models, so that they cannot lie; ``state-repo-template/schemas``
holds them as files, and a test holds those current. They describe the normal form:
the historic forms are accepted by a push and marked by an editor.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from xyn_reconciler.desired.load import MODELS

KINDS: Final = tuple(sorted(MODELS))
"""Every kind of document that has a schema."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, Any]:
    """Give the schema of one of :data:`KINDS`; raises ``KeyError`` for another."""
    models: Mapping[str, Any] = {str(each): model for each, model in MODELS.items()}
    made = TypeAdapter(models[kind]).json_schema(by_alias=True, schema_generator=_Generator)
    return {"$schema": DIALECT, "title": f"Xyn {kind}", **_plain(made, titled=False)}


class _Generator(GenerateJsonSchema):
    """Pydantic's own, less what only Python means."""

    ignored_warning_kinds: set[Any] = {"non-serializable-default"}  # noqa: RUF012 - pydantic's own form


def _plain(value: Any, *, titled: bool) -> Any:  # noqa: ANN401 - any JSON value
    """Without generated titles and nulls: a key may be absent, and may not be empty."""
    if isinstance(value, list):
        return [_plain(item, titled=titled) for item in value]
    if not isinstance(value, Mapping):
        return value
    made = {
        key: _plain(item, titled=not titled and key in ("properties", "$defs"))
        for key, item in value.items()
        if titled or not (key == "title" or (key == "default" and item is None))
    }
    if not titled and "patternProperties" in made:
        made.setdefault("additionalProperties", False)
    return made if titled else _without_null(made)


def _without_null(made: dict[str, Any]) -> dict[str, Any]:
    branches = made.get("anyOf")
    if not isinstance(branches, list) or {"type": "null"} not in branches:
        return made
    left = [branch for branch in branches if branch != {"type": "null"}]
    rest = {key: item for key, item in made.items() if key != "anyOf"}
    return {**left[0], **rest} if len(left) == 1 else {**rest, "anyOf": left}
