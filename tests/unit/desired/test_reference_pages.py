"""Every example of the reference pages on documents is accepted."""

import re
from pathlib import Path

import pytest

from xyn_reconciler.desired.load import load
from xyn_reconciler.model.blueprint import (
    ActionTask,
    AgentTask,
    Approvals,
    Blueprint,
    Concurrency,
    Dedupe,
    Gate,
    Retry,
    Schedule,
    Transform,
    Trigger,
)
from xyn_reconciler.model.node import Limits, Node, ProviderSettings, TokenBudgets
from xyn_reconciler.model.pack import (
    Backup,
    Code,
    Contract,
    ErrorRule,
    Pack,
    PackAction,
    Paginate,
    Smoke,
)
from xyn_reconciler.model.prices import ModelPrice, Prices
from xyn_reconciler.model.source import Hmac, Source

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
PAGES = {
    "blueprint": "blueprints/x.yaml",
    "node": "node.yaml",
    "packs": "packs/checkmk/pack.yaml",
    "sources": "sources/x.yaml",
    "policies": "policies/x.yaml",
    "prices": "prices.yaml",
    "principals": "principals.yaml",
}
EXAMPLES = [
    (page, number, text)
    for page in PAGES
    for number, text in enumerate(
        re.findall(
            r"```yaml\n(.*?)```", (FOLDER / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL
        )
    )
]


@pytest.mark.parametrize(("page", "number", "text"), EXAMPLES)
def test_an_example_of_a_reference_page_is_accepted(page: str, number: int, text: str) -> None:
    if page == "blueprint":  # most examples show the keys that they are about, and no more
        text += "" if re.search(r"^id:", text, re.MULTILINE) else "id: bp.example\n"
        text += (
            "" if re.search(r"^plan:", text, re.MULTILINE) else "plan: [{id: a, kind: transform}]\n"
        )

    loaded = load(PAGES[page], "blob", text.encode())

    assert loaded.problems == ()
    assert loaded.remarks == ()


@pytest.mark.parametrize(
    ("page", "models"),
    [
        (
            "blueprint",
            [
                Blueprint, Trigger, Dedupe, Schedule, Concurrency, Retry, Approvals,
                Gate, Transform, ActionTask, AgentTask,
            ],
        ),
        ("node", [Node, Limits, TokenBudgets]),
        ("agents", [ProviderSettings]),
        ("prices", [Prices, ModelPrice]),
        ("sources", [Source, Hmac]),
        ("packs", [Pack, PackAction, Code, Paginate, ErrorRule, Contract, Backup, Smoke]),
    ],
)  # fmt: skip
def test_a_reference_page_names_every_key(page: str, models: list[type[Node]]) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")

    for model in models:
        for name, info in model.model_fields.items():
            assert re.search(rf"\b{info.alias or name}\b", text), f"{model.__name__}: {name}"
