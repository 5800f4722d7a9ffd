"""Two reference pages are made of code; they are held together here."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from xyn_reconciler.model.variables import VARIABLES

CHECKOUT = Path(__file__).parents[3]
BETWEEN_OUR_OWN_PROCESSES = {
    "XYN_CRASH_AT",
    "XYN_LIFELINE_FD",
    "XYN_STARTED_AT",
    "XYN_TICKET",
}


def builder(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["build_environment", "build_xynctl"])
def test_the_page_says_what_the_code_says(name: str) -> None:
    built = builder(name)

    assert built.PAGE.read_text(encoding="utf-8") == built.page(), f"run: python docs/{name}.py"


def test_every_variable_that_the_code_reads_is_in_the_manifest() -> None:
    named = set()
    for folder in ("xyn_reconciler", "flask_ui"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            named |= set(re.findall(r'"(XYN_[A-Z_]+|DATABASE_URL|NO_COLOR)"', file.read_text()))

    assert named - BETWEEN_OUR_OWN_PROCESSES == {
        variable.name
        for variable in VARIABLES
        if variable.name.startswith("XYN_") or variable.name in {"DATABASE_URL", "NO_COLOR"}
    }
