"""The JSON Schemas that editors use are those of the models."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.schemas import KINDS, schema
from xyn_reconciler.model.json_schema import JsonSchema
from xyn_reconciler.template import template_files

FOLDER = Path(__file__).parents[3] / "state-repo-template" / "schemas"


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_schema_is_that_of_the_models(kind: str) -> None:
    committed = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))

    assert committed == schema(kind), "run: python docs/build_schemas.py"


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one_of_draft_2020_12(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))


def test_every_document_of_the_template_fits_its_schema() -> None:
    fitted = 0
    for path, data in template_files():
        loaded = load(path, "blob", data)
        if loaded.kind in KINDS:
            Draft202012Validator(schema(loaded.kind)).validate(loaded.document)
            fitted += 1

    assert fitted > 5


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("node", {"id": "seed", "mdoe": "active"}),
        ("node", {"id": "seed", "mode": None}),
        ("blueprint", {"id": "bp.x", "plan": [{"id": "a", "kind": "gate"}]}),
        ("blueprint", {"id": "bp.x", "plan": [{"id": "A", "kind": "transform"}]}),
        ("blueprint", {"id": "bp.x", "plan": [{"id": "a", "kind": "transform", "timeout": "1 h"}]}),
        ("source", {"id": "s", "event_type": "x", "verify": {"scheme": "none", "header": "x"}}),
    ],
)
def test_an_editor_marks_what_a_push_would_refuse(kind: str, document: dict[str, Any]) -> None:
    assert not Draft202012Validator(schema(kind)).is_valid(document)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_document_says_what_it_means(kind: str) -> None:
    silent = [
        key for key, each in _properties(schema(kind)) if not {"description", "$ref"} & {*each}
    ]

    assert silent == []


def _properties(whole: dict[str, Any]) -> list[tuple[str, Any]]:
    parts = [whole, *whole.get("$defs", {}).values()]
    return [found for part in parts for found in part.get("properties", {}).items()]


WORDS = st.sampled_from(sorted(f.alias or n for n, f in JsonSchema.model_fields.items()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["string", "object", "("]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(WORDS, VALUES, max_size=4))
@settings(max_examples=500, deadline=None)
def test_whatever_passes_our_part_of_json_schema_passes_the_metaschema(
    value: dict[str, Any],
) -> None:
    try:
        JsonSchema.model_validate(value)
    except ValidationError:
        return

    Draft202012Validator.check_schema(value)
