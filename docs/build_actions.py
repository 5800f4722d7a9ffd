"""Write ``reference/actions/`` and ``reference/packs/``: ``python docs/build_actions.py``.

A page of an action is made of its spec, the words at the top of its module, a blueprint that
uses it (``docs/actions/<name>.yaml``) and what else there is to say (``docs/actions/<name>.md``,
if there is more). A page of a pack is made of the pack. A test holds them together.
"""

# ruff: noqa: INP001 - a script, not a package

import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PAGES = DOCS / "reference" / "actions"
PACK_PAGES = DOCS / "reference" / "packs"
EXAMPLES = DOCS / "actions"
PACKS = DOCS.parent / "state-repo-template" / "packs"
sys.path.insert(0, str(DOCS.parent))

from xyn_reconciler.action.registry import catalogue, installed_actions  # noqa: E402 - see above
from xyn_reconciler.desired.load import load  # noqa: E402 - see above
from xyn_reconciler.desired.packs import pack_specs  # noqa: E402 - see above
from xyn_reconciler.model.capability import ActionSpec  # noqa: E402 - see above

_MADE = "<!-- Made by docs/build_actions.py of {}; changes here are lost. -->"
_MODULES = {
    "blueprints.run": "sub_run",
    **dict.fromkeys(("pack.migrate.plan", "pack.migrate.apply"), "pack_data"),
    **dict.fromkeys(("pack.rows.upsert", "pack.rows.query", "pack.rows.delete"), "pack_data"),
}
"""Where an action's module is not called as the action."""

INDEX = """\
# Actions

<!-- Made by docs/build_actions.py; changes here are lost. -->

What a step of kind `action_task` can do. On a node `xynctl action list` says which there are,
those of its packs too, and `xynctl action show NAME` what one takes and gives. An Operator runs
one by itself, as a step would have it; it is a run of the blueprint `xyn.try`, with a record, a
page and an entry in the audit:

    xynctl action try http.call --with '{"url": "https://example.net"}'

The outputs are printed as JSON; a failure is printed on standard error with its code, and the exit
code is 1. Ctrl-C cancels the run. On stage prod a policy has to allow `action.execute`.

@TABLE@

*May run again*: a step that was under way when its worker died simply runs again. One whose
action may not waits for a person, unless the step has an `idempotency_key`. *Is given*: what the
action can reach besides its inputs.

## Errors of every action

| code | tried again | when |
|---|---|---|
| `timeout` | yes | it took longer than the step's `timeout` (10 minutes where it has none) |
| `cancelled` | no | the run was cancelled; nothing that the action began goes on |
| `invalid_inputs` | no | `with` does not fit, or says two things at once |
| `denied` | no | whoever caused the run may not use a secret in it, or do what the action does |
| `not_installed` | no | this node cannot run the action |
| `too_large` | no | the outputs, or an artifact, are larger than they may be |
| `internal_error` | no | a fault of the action's own; the node's log has it |

What is tried again is so as often as the step's `retry` says.
"""


def pages() -> dict[Path, str]:
    """Give every page by its path."""
    actions = catalogue(installed_actions()).actions
    found = {PAGES / "index.md": INDEX.replace("@TABLE@", _list(actions))}
    found |= {PAGES / f"{name}.md": action_page(spec) for name, spec in actions.items()}
    for folder in sorted(PACKS.glob("*/")):
        if (folder / "pack.yaml").is_file():
            found[PACK_PAGES / f"{folder.name}.md"] = pack_page(folder)
    return found


def _list(actions: Mapping[str, ActionSpec]) -> str:
    rows = [
        f"| [{name}]({name}.md) | {spec.summary} | {_yes(value=spec.idempotent)} | {_given(spec)} |"
        for name, spec in sorted(actions.items())
    ]
    return "\n".join(["| action | | may run again | is given |", "|---|---|---|---|", *rows])


# ── actions ──────────────────────────────────────────────────────────────────────────────────────


def action_page(spec: ActionSpec) -> str:
    """Give the page of one of Xyn's own actions."""
    example = EXAMPLES / f"{spec.name}.yaml"
    more = EXAMPLES / f"{spec.name}.md"
    parts = [
        f"# {spec.name}",
        _MADE.format(f"the action's spec and docs/actions/{spec.name}.*"),
        spec.summary,
        _told(spec.name),
        _facts(spec),
        "## Example",
        f"```yaml\n{example.read_text(encoding='utf-8').strip()}\n```",
        *_reference(spec, "##"),
        _moved(more.read_text(encoding="utf-8")) if more.is_file() else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _moved(text: str) -> str:
    """Its links lead there from ``docs/actions``, and are to do so from the page."""
    here = text.strip().replace("](../reference/actions/", "](")
    return here.replace("](../reference/", "](../")


def _told(name: str) -> str:
    """The words at the top of an action's module, from the second paragraph on."""
    module = importlib.import_module(
        f"xyn_reconciler.action.{_MODULES.get(name, name.replace('.', '_'))}"
    )
    text = (module.__doc__ or "").partition("\n\n")[2].strip()
    return re.sub(r"(?::\w+:)?`+~?\.?([^`]+)`+", r"`\1`", text)


def _facts(spec: ActionSpec) -> str:
    again = (
        "yes: after a crash the step simply does"
        if spec.idempotent
        else "no: after a crash the step waits for a person, unless it has an `idempotency_key`"
    )
    return f"- **May run again**: {again}\n- **Is given**: {_given(spec) or 'its inputs alone'}"


def _reference(spec: ActionSpec, level: str) -> Iterator[str]:
    yield f"{level} Inputs"
    yield _table("input", spec.input_schema) or "None."
    either = ["`, `".join(each["required"]) for each in spec.input_schema.get("oneOf", ())]
    if either:
        yield f"Of `{'`, `'.join(either)}` exactly one is given."
    outputs = _table("output", spec.output_schema)
    if outputs:
        yield f"{level} Outputs"
        yield outputs
    if spec.redact:
        yield f"{level} Never kept"
        listed = ", ".join(f"`{path}`" for path in spec.redact)
        yield f"Of its outputs, wherever they are kept or shown: {listed}."
    yield f"{level} Errors"
    rows = [f"| `{code}` | {_cell(text)} |" for code, text in sorted(spec.errors.items())]
    if rows:
        yield "\n".join(["| code | when |", "|---|---|", *rows])
    yield (
        "And those of [every action](index.md#errors-of-every-action)."
        if level == "##"
        else ("And those of [every action](../actions/index.md#errors-of-every-action).")
    )


def _table(title: str, schema: Mapping[str, Any]) -> str:
    rows = list(_rows(schema, "", needs=title != "output"))
    return "\n".join([f"| {title} | type | |", "|---|---|---|", *rows]) if rows else ""


def _rows(schema: Mapping[str, Any], before: str, *, needs: bool) -> Iterator[str]:
    """``needs``: say what is required; of outputs, what is always there is no news."""
    needed = schema.get("required", ()) if needs else ()
    for name, rules in (schema.get("properties") or {}).items():
        said = []
        if name in needed:
            said.append("**Required.**" if not before else "Required with it.")
        if rules.get("description"):
            said.append(_cell(rules["description"]))
        if "default" in rules:
            said.append(f"Default `{_cell(json.dumps(rules['default'], ensure_ascii=False))}`.")
        yield f"| `{before}{name}` | {_type(rules)} | {' '.join(said)} |"
        yield from _rows(rules, f"{before}{name}.", needs=needs)


def _type(rules: Mapping[str, Any]) -> str:
    if "enum" in rules:
        each_once = dict.fromkeys(json.dumps(each).strip('"') for each in rules["enum"])
        return ", ".join(f"`{each}`" for each in each_once)
    if "const" in rules:
        return f"`{json.dumps(rules['const']).strip(chr(34))}`"
    for ways in ("anyOf", "oneOf"):
        if ways in rules and "type" not in rules:
            found = (_type(way) for way in rules[ways])
            return " or ".join(dict.fromkeys(part for each in found for part in each.split(" or ")))
    kinds = rules.get("type", "any")
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def _given(spec: ActionSpec) -> str:
    return ", ".join(sorted(spec.capabilities))


def _yes(*, value: bool) -> str:
    return "yes" if value else "no"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ── packs ────────────────────────────────────────────────────────────────────────────────────────


def pack_page(folder: Path) -> str:
    """Give the page of a pack in its folder."""
    path = f"packs/{folder.name}/pack.yaml"
    definition = load(path, "", (folder / "pack.yaml").read_bytes()).document
    tools = catalogue(installed_actions()).actions
    requires = definition.get("requires") or {}
    facts = [
        ("Version", definition["version"]),
        ("Needs Xyn", definition.get("xyn_core")),
        ("Attachment", definition.get("attachment")),
        ("Secrets", ", ".join(f"`{each}`" for each in requires.get("secrets") or ())),
        ("Variables", ", ".join(f"`{each}`" for each in requires.get("variables") or ())),
        ("Events", ", ".join(f"`{each}`" for each in definition.get("events") or ())),
    ]
    parts = [
        f"# {definition.get('name') or folder.name}",
        _MADE.format(path),
        (definition.get("description") or "").strip(),
        "\n".join(f"- **{name}**: {value}" for name, value in facts if value),
        *_read_me(folder),
    ]
    settings = _table("setting", definition.get("settings") or {})
    if settings:
        parts += ["## Settings", settings]
    for name, spec in pack_specs(definition.get("actions") or {}, tools).items():
        parts += [f"## {name}", spec.summary, _facts(spec), *_reference(spec, "###")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _read_me(folder: Path) -> Iterator[str]:
    """What its README says of setting it up, without the title."""
    page = folder / "README.md"
    if page.is_file():
        yield f"## In use\n\n{page.read_text(encoding='utf-8').partition(chr(10))[2].strip()}"


def main() -> None:
    made = pages()
    for folder in (PAGES, PACK_PAGES):
        for old in folder.glob("*.md"):
            if old not in made:
                old.unlink()
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
