"""Write the template's prompts of agents that author: ``python docs/build_prompts.py``.

A prompt is its words (``docs/prompts/``) and what the reference says of the language, so that a
model is told what the code does. A test holds them together.
"""

# ruff: noqa: INP001 - a script, not a package

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
WORDS = DOCS / "prompts"
PROMPTS = DOCS.parent / "state-repo-template" / "prompts"
sys.path.insert(0, str(DOCS.parent))

from xyn_reconciler.action.registry import catalogue, installed_actions  # noqa: E402 - see above
from xyn_reconciler.model.capability import ActionSpec  # noqa: E402 - see above

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_LEFT_OUT = {
    "blueprint.md": ("Older forms",),
    "expressions.md": ("Prompt files", "Limits", "Codes"),
    "tests.md": ("Running them", "A test of a run that went wrong", "Over the API"),
    "packs.md": ("In use", "known_hosts"),
    "write-an-action-in-a-pack.md": ("With code",),
}
"""Chapters that say nothing to one who writes."""


def prompts() -> dict[Path, str]:
    """Give every prompt by its path."""
    blueprint = [*map(_page, ("blueprint.md", "expressions.md", "tests.md")), _actions()]
    action = [
        _page("packs.md"),
        _page("write-an-action-in-a-pack.md", DOCS / "how-to"),
        _page("expressions.md"),
        _tools(),
    ]
    return {
        PROMPTS / "author_blueprint.md": _filled("author_blueprint.md", blueprint),
        PROMPTS / "author_action.md": _filled("author_action.md", action),
    }


def _filled(name: str, parts: list[str]) -> str:
    words = (WORDS / name).read_text(encoding="utf-8")
    return words.replace("@LANGUAGE@", "\n\n".join(part.strip() for part in parts))


def _page(name: str, folder: Path = DOCS / "reference") -> str:
    """Give a page without links and the chapters that are left out."""
    text = (folder / name).read_text(encoding="utf-8")
    chapters = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    kept = [each for each in chapters if not each.startswith(_headings(name))]
    return _LINK.sub(r"\1", "".join(kept))


def _headings(name: str) -> tuple[str, ...]:
    return tuple(f"## {heading}\n" for heading in _LEFT_OUT[name])


def _actions() -> str:
    specs = catalogue(installed_actions()).actions.values()
    lines = [f"- `{spec.name}`: {spec.summary} {_shape(spec)}" for spec in specs]
    return "\n".join(["# Actions", "", "A `?` marks what may be absent.", "", *lines])


def _tools() -> str:
    specs = catalogue(installed_actions()).actions
    bodies = {"request": "http.call", "ssh": "ssh.run", "container": "container.exec"}
    lines = [f"- `{body}`: {_shape(specs[tool])}" for body, tool in bodies.items()]
    return "\n".join(["# Bodies of actions", "", "A `?` marks what may be absent.", "", *lines])


def _shape(spec: ActionSpec) -> str:
    return f"with {_type(spec.input_schema)} gives {_type(spec.output_schema)}"


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(dict.fromkeys(map(str, schema["enum"])))
    if "const" in schema:
        return str(schema["const"])
    for ways in ("anyOf", "oneOf"):
        if ways in schema and "type" not in schema:
            return " | ".join(dict.fromkeys(map(_type, schema[ways])))
    if schema.get("properties"):
        return f"{{{', '.join(_members(schema))}}}"
    if schema.get("type") == "array" and "items" in schema:
        return f"[{_type(schema['items'])}]"
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, str) else " | ".join(kinds)


def _members(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, rules in schema["properties"].items():
        mark = "" if name in schema.get("required", ()) else "?"
        yield f"{name}{mark}: {_type(rules)}"


def main() -> None:
    for path, text in prompts().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
