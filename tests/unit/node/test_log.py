import contextvars
import json
import logging
import sys
import uuid
from collections.abc import Callable
from typing import Any

from xyn_reconciler.model.correlation import bind, correlate
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.log import JsonFormatter

SECRET = "a-very-secret-value"
RUN, STEP = uuid.uuid4(), uuid.uuid4()


def line(message: str = "hello", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a record
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "demo", **more})
    found: dict[str, Any] = json.loads(JsonFormatter("worker", Redactor([SECRET])).format(record))
    return found


def afresh(written: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Lines as a new thread writes them: nothing is bound before."""
    return contextvars.Context().run(written)


def test_a_line_is_an_object_that_says_when_how_bad_where_and_what() -> None:
    (plain,) = afresh(lambda: [line(created=0.0)])

    assert plain == {
        "time": "1970-01-01T00:00:00.000000Z",
        "level": "info",
        "process": "worker",
        "logger": "demo",
        "message": "hello",
    }


def test_a_line_carries_the_ids_that_are_bound_where_it_is_written() -> None:
    def written() -> list[dict[str, Any]]:
        with correlate(correlation_id="c1", run_id=RUN):
            with correlate(step_id=STEP):
                inside = line()
            between = line()
        return [inside, between, line()]

    inside, between, after = afresh(written)

    assert (inside["correlation_id"], inside["run_id"], inside["step_id"]) == (
        "c1",
        str(RUN),
        str(STEP),
    )
    assert (between["run_id"], "step_id" in between) == (str(RUN), False)
    assert not {"correlation_id", "run_id", "step_id"} & after.keys()


def test_ids_go_also_when_what_they_were_bound_for_fails() -> None:
    def written() -> list[dict[str, Any]]:
        try:
            with correlate(run_id=RUN):
                int("x")
        except ValueError:
            return [line(exc_info=sys.exc_info())]
        return []

    (failed,) = afresh(written)

    assert "ValueError" in failed["exception"]
    assert "run_id" not in failed


def test_the_next_request_of_a_thread_has_its_own_ids_alone() -> None:
    def written() -> list[dict[str, Any]]:
        bind(correlation_id="c1", run_id=RUN)
        bind(correlation_id="c2")
        return [line()]

    (second,) = afresh(written)

    assert second["correlation_id"] == "c2"
    assert "run_id" not in second


def test_what_a_line_says_of_itself_goes_before_what_is_bound() -> None:
    def written() -> list[dict[str, Any]]:
        with correlate(run_id=STEP):
            return [line(run_id=RUN)]

    assert afresh(written)[0]["run_id"] == str(RUN)


def test_a_secret_in_a_bound_id_is_not_written() -> None:
    def written() -> list[dict[str, Any]]:
        with correlate(correlation_id=SECRET):
            return [line()]

    assert SECRET not in json.dumps(afresh(written))
