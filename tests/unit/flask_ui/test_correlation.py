import uuid

import pytest
from werkzeug.datastructures import Headers

from flask_ui.correlation import correlation_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_sane_id_is_kept() -> None:
    assert correlation_id(Headers({"X-Correlation-Id": "ticket-42/a"})) == "ticket-42/a"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "-x", "a\x00b", 'a"b', "ä"])
def test_any_other_is_replaced_by_a_new_one(given: str) -> None:
    assert uuid.UUID(correlation_id(Headers({"X-Correlation-Id": given}))).version == 7


def test_a_trace_id_serves_where_there_is_no_id() -> None:
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"

    assert correlation_id(Headers({"traceparent": parent})) == TRACE
    both = Headers({"traceparent": parent, "X-Correlation-Id": "mine"})
    assert correlation_id(both) == "mine"


@pytest.mark.parametrize(
    "parent",
    [
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        "nonsense",
    ],
)
def test_a_traceparent_that_is_none_is_passed_over(parent: str) -> None:
    assert uuid.UUID(correlation_id(Headers({"traceparent": parent}))).version == 7
