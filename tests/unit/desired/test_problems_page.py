"""``docs/reference/problems.md`` and the code say the same."""

import ast
import re
from pathlib import Path

import pytest

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.validate import validate_paths

CHECKOUT = Path(__file__).parents[3]
PAGE = (CHECKOUT / "docs" / "reference" / "problems.md").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"### `(?P<code>\w+)`\n\n[^`]*?(?:`[^`]*`[^`]*?)*?\n\n`(?P<path>[^`\s]+)`\n\n"
    r"```(?:yaml|json)\n(?P<text>.*?)```",
    re.DOTALL,
)
EXAMPLES = [(found["code"], found["path"], found["text"]) for found in ENTRY.finditer(PAGE)]
SAYS = {
    "Finding", "Misfit", "Problem", "PydanticCustomError", "_RefusedError", "_at", "_name",
    "_problem", "add", "problem", "remark", "stop",
}  # fmt: skip


@pytest.mark.parametrize(("code", "path", "text"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_each_example_gives_its_problem(code: str, path: str, text: str) -> None:
    files = {"node.yaml": b"id: seed\n", path: text.encode()}

    found = validate_paths(files, catalogue(installed_actions()))

    said = [each for each in (*found.problems, *found.remarks) if each.path == path]
    assert code in {each.code for each in said}, said


def test_every_section_has_an_example_but_what_needs_a_hundred_files() -> None:
    sections = set(re.findall(r"^### `(\w+)`", PAGE, re.MULTILINE))

    assert sections - {code for code, _, _ in EXAMPLES} == {"crowded_folder"}


def test_every_code_in_the_source_is_on_the_page() -> None:
    documented = set(re.findall(r"^(?:### |\| )`(\w+)`", PAGE, re.MULTILINE))
    sources = [
        *(CHECKOUT / "xyn_reconciler" / "desired").glob("*.py"),
        *(CHECKOUT / "xyn_reconciler" / "model").glob("*.py"),
    ]

    used = {code for source in sources for code in _codes(source)}

    assert "missing_key" in used
    assert used <= documented


def _codes(source: Path) -> set[str]:
    """Words like ``missing_key`` handed to what makes problems."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and (getattr(call.func, "attr", None) or getattr(call.func, "id", None)) in SAYS
        for argument in call.args
        if isinstance(argument, ast.Constant)
        and isinstance(argument.value, str)
        and re.fullmatch(r"[a-z]+(?:_[a-z0-9]+)+", argument.value)
    }
