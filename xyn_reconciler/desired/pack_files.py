"""A pack's own files: programs, migrations, schemas, examples, configuration, ``compose.yaml``.

Their document is ``{"text": ...}``, so that a worker without the repository has them. What
can be said of one by itself is said here: schemas are read as documents' schemas are, and
an example names the action that it is of.
"""

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from xyn_reconciler.desired.complaints import Report, complain
from xyn_reconciler.desired.compose_file import read_compose
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.loaded import Loaded, Reference
from xyn_reconciler.desired.pack_example import read_example
from xyn_reconciler.desired.source import Source, parse
from xyn_reconciler.desired.text_file import read_text, tokens_in
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.json_schema import JsonSchema

MAX_BYTES: Final = 256 * 1024
"""Of one file; a pack is text that people read, and larger things are artifacts."""

_SCHEMA: Final[TypeAdapter[Any]] = TypeAdapter(JsonSchema)


def load_pack_file(path: str, blob_id: str, data: bytes) -> Loaded:
    """Read one file of a pack."""
    text, problems = read_text(path, data, MAX_BYTES)
    found: tuple[Reference, ...] = ()
    if text is not None:
        problems += tokens_in(path, text)
        folder = in_pack(path)[1].partition("/")[0]
        if folder == "schemas":
            problems += _schema(path, text)
        elif folder == "compose.yaml":
            problems += read_compose(path, text)[1]
        elif folder == "examples":
            wrong, found = _example(path, text)
            problems += wrong
        elif folder == "config" and path.endswith((".yaml", ".yml", ".json")):
            problems += parse(path, text)[1]
    document = None if problems else {"text": text}
    return Loaded(path, blob_id, "pack_file", path, document, tuple(sorted(problems)), (), found)


def _schema(path: str, text: str) -> list[Problem]:
    source, problems = parse(path, text)
    if source is None:
        return problems
    report = Report(source, problems=list(problems))
    try:
        _SCHEMA.validate_python(_without_dialect(source.value))
    except ValidationError as error:
        complain(report, JsonSchema, error.errors(include_url=False))
    return [*report.all_problems()]


def _without_dialect(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """An editor's ``$schema`` at the top is no rule."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in ("$schema", "$id")}


def _example(path: str, text: str) -> tuple[list[Problem], tuple[Reference, ...]]:
    example, problems = read_example(path, text)
    source, _ = parse(path, text)
    if example is None or source is None:
        return problems, ()
    return [], (_reference(source, example["action"]),)


def _reference(source: Source, action: str) -> Reference:
    return Reference("example", action, *source.position(("action",)), ("action",))
