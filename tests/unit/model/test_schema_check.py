from typing import Any

import pytest
from jsonschema import Draft202012Validator

from xyn_reconciler.model.schema_check import mismatch

EITHER = {"oneOf": [{"required": ["argv"]}, {"required": ["cmd"]}]}


def test_members_that_exclude_each_other_are_named() -> None:
    assert mismatch(EITHER, {"host": "a"}) == "needs one of argv, cmd, and has none of them"
    both = mismatch(EITHER, {"argv": [], "cmd": ""})
    assert both == "needs one of argv, cmd, and has argv and cmd"


@pytest.mark.parametrize("value", [{}, {"argv": 1}, {"argv": 1, "cmd": 1}, 3, [], "argv"])
@pytest.mark.parametrize(
    "schema",
    [
        EITHER,
        {"oneOf": [True, False]},
        {"oneOf": [{"required": ["argv"]}, True]},
        {"oneOf": [{"required": ["argv", "cmd"]}, {"required": ["cmd"]}]},
        {"oneOf": [{"required": ["argv"], "type": "object"}, {"type": "integer"}]},
        {"type": "object", **EITHER},
    ],
)
def test_what_fits_is_what_the_standard_says(schema: dict[str, Any], value: object) -> None:
    assert (mismatch(schema, value) is None) is Draft202012Validator(schema).is_valid(value)
