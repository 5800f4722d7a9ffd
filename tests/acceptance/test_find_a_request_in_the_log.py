"""The node's log says which request a line belongs to (seed 32.2)."""

import json

import httpx2
import pytest

from tests.running import PLAIN, Node, wait_for
from xyn_reconciler.node.home import Home

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/events"), ("GET", "/healthz")])
def test_a_request_is_found_in_the_log_by_the_id_of_its_answer(
    node: Node, method: str, path: str
) -> None:
    event = {"event_name": "demo.unheard", "data": {}} if method == "POST" else None
    answer = httpx2.request(method, f"{node.url}{path}", json=event, **PLAIN)
    wanted = answer.headers["X-Correlation-Id"]

    def found() -> list[tuple[str, str]]:
        written = Home(node.home).log("all").read_text().splitlines()
        lines = [json.loads(line) for line in written if f'"correlation_id": "{wanted}"' in line]
        return [(line["process"], line["message"]) for line in lines]

    wait_for(found)
    assert found() == [("web", f"{method} {path} {answer.status_code}")]
