"""Change values in a YAML file and leave all else as its author wrote it.

For forms whose save is a draft: what a reviewer sees is the lines that were changed.
The trap: a file may name what the form does not know, and it stays.
"""

import io
import json
from collections.abc import Mapping
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

_WIDTH: Final = 4096
"""No line is folded anew."""


def with_values(path: str, text: str, values: Mapping[str, Any], known: set[str]) -> str:
    """Give the file with ``values`` at its top; of ``known`` keys those without a value go.

    ``text`` is a mapping that was read before, or empty.
    """
    if path.endswith(".json"):
        kept = {key: each for key, each in json.loads(text or "{}").items() if key not in known}
        return json.dumps({**kept, **values}, indent=2, ensure_ascii=False) + "\n"
    yaml, document = _read(text)
    before = "" if document else text  # comments alone are no mapping that could hold them
    for key in known - set(values):
        document.pop(key, None)
    for key, value in values.items():
        if key not in document or not _same(document[key], value):
            document[key] = _like(document.get(key), value)
    if not document:
        return f"{before}{{}}\n"
    written = io.StringIO()
    yaml.dump(document, written)
    return before + written.getvalue()


def _read(text: str) -> tuple[YAML, CommentedMap]:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.explicit_start = text.startswith("---")
    if text:
        _, indent, offset = load_yaml_guess_indent(text)
        if indent is not None:
            yaml.indent(mapping=2, sequence=indent, offset=offset or 0)
    loaded = yaml.load(text) if text else None
    return yaml, CommentedMap() if loaded is None else loaded


def _same(old: Any, new: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether they are one JSON value: True is not 1."""
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _like(old: Any, new: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A text as the old one was written; one with marks of YAML in it is quoted."""
    if not isinstance(new, str):
        return new
    if isinstance(old, str):
        return type(old)(new)
    plain = new.replace("/", "").replace("_", "").replace("-", "").isalnum() and new[0].isalpha()
    return new if plain else DoubleQuotedScalarString(new)
