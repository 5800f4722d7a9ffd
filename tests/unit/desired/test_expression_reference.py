"""`docs/reference/expressions.md` says what is true."""

import inspect
import json
import re
from pathlib import Path

import pytest

import xyn_reconciler.desired
from xyn_reconciler.desired.expression import ExpressionError, parse_template
from xyn_reconciler.desired.filters import FILTERS
from xyn_reconciler.desired.grammar import usage

PAGE = Path(__file__).parents[3].joinpath("docs/reference/expressions.md").read_text("utf-8")
BLOCKS = re.findall(r"```text examples\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = [line.split(" -> ") for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_an_example_gives_what_the_page_says(text: str, expected: str) -> None:
    [scope] = re.findall(r"```json scope\n(.*?)```", PAGE, re.DOTALL)

    try:
        given = json.dumps(
            parse_template(text.rstrip()).render(json.loads(scope)), ensure_ascii=False
        )
    except ExpressionError as error:
        given = f"fails: {error.failure_code}"

    assert given == expected


def test_the_page_lists_every_filter_as_it_describes_itself() -> None:
    rows = [
        f"| `{usage(name).removeprefix('value | ')}` | {inspect.getdoc(function)} |"
        for name, function in FILTERS.items()
    ]

    assert "\n".join(rows) in PAGE


def test_the_page_lists_every_code_of_an_evaluation() -> None:
    room = Path(next(iter(xyn_reconciler.desired.__path__)))
    sources = [room / f"{name}.py" for name in ("values", "filters", "evaluate", "expression")]

    raised = {
        code
        for source in sources
        for code in re.findall(r'ExpressionError\(\s*"(\w+)"', source.read_text("utf-8"))
    }

    assert raised
    assert raised <= set(re.findall(r"`(\w+)`", PAGE.split("## Codes")[1]))
