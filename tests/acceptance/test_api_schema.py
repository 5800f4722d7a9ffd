"""The API's own document, tried against a real node: every answer is as documented."""

from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flask_ui.api.routes import OPERATIONS
from flask_ui.api.table import PREFIX, Operation
from tests.running import Node

pytestmark = pytest.mark.acceptance

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="session")
def api(node: Node) -> Any:  # noqa: ANN401 - schemathesis does not name its type
    document = httpx2.get(f"{node.url}/api/v1/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=node.url)
    return schema


CASES = [
    pytest.param(operation, mode, id=f"{operation.method} {operation.path} {mode.value}")
    for operation in OPERATIONS
    for mode in GenerationMode
    # What takes nothing can be asked nothing wrong.
    if mode is GenerationMode.POSITIVE or operation.query or operation.body or operation.parameters
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_is_as_documented(
    api: Any,  # noqa: ANN401 - as above
    operation: Operation,
    mode: GenerationMode,
) -> None:
    described = api[PREFIX + operation.path][operation.method]

    @given(case=described.as_strategy(generation_mode=mode))
    @settings(
        max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
