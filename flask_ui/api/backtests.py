"""Backtests, blueprint tests, and tests made of runs, over the API.

A backtest asked for as ``application/x-ndjson`` is told of while it goes on: a line
``{"progress": events}`` now and then, at last ``{"result": …}`` or ``{"error": …}``. Whoever
hangs up cancels it.
"""

import logging
import queue
import threading
import uuid
from collections.abc import Iterator
from typing import Any, Final

import flask
from pydantic import Field

from flask_ui import answers, requests
from flask_ui.api.table import Answer, Operation, Query, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.service import backtest
from xyn_reconciler.service.backtest import BacktestDto, BacktestRequest, RunTestDto, TestsDto
from xyn_reconciler.service.context import Context

logger = logging.getLogger(__name__)

LINES: Final = "application/x-ndjson"


class TestQuery(Query):
    __test__ = False  # its name looks like a test to pytest

    revision: str = Field(default="main", min_length=1, max_length=200)


def backtest_draft(draft: str) -> Answer:
    request = requests.json_model(BacktestRequest, optional=True)
    if flask.request.accept_mimetypes.best == LINES:
        told = _told(context(), actor(), draft, request, flask.g.correlation_id)
        return flask.Response(told, mimetype=LINES)
    return backtest.backtest(context(), actor(), draft, request)


def run_tests(query: TestQuery) -> Answer:
    return backtest.run_tests_of(context(), query.revision)


def make_test_of_run(run_id: uuid.UUID) -> Answer:
    return backtest.make_test(context(), run_id)


def _told(
    opened: Context,
    acting: Principal,
    draft: str,
    request: BacktestRequest,
    correlation_id: str,
) -> Iterator[str]:
    """Work in a thread of its own, and say what comes of it line by line."""
    said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        try:
            found = backtest.backtest(
                opened,
                acting,
                draft,
                request,
                progress=lambda count: said.put({"progress": count}),
                cancelled=stopped.is_set,
            )
            said.put({"result": found.model_dump(mode="json")})
        except XynError as error:
            body = {"code": error.code, "message": error.message, "details": error.details}
            said.put({"error": body, "status": error.http_status})
        except Exception:
            ids = {"correlation_id": correlation_id}
            logger.exception("a backtest of %s broke", draft, extra=ids)
            body = {"code": "internal_error", "message": "the node's log says why", "details": {}}
            said.put({"error": body, "status": 500})
        finally:
            said.put(None)

    thread = threading.Thread(target=work, name="backtest", daemon=True)
    thread.start()
    try:
        while (line := said.get()) is not None:
            yield answers.to_json(line) + "\n"
    finally:
        stopped.set()


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/drafts/{draft}/backtest",
        summary="Say what a draft, a branch or a commit would have done with recorded events.",
        tag="drafts",
        view=backtest_draft,
        body=json_body(BacktestRequest),
        body_required=False,
        answers={200: BacktestDto},
        errors=(404, 409),
    ),
    Operation(
        method="GET",
        path="/tests",
        summary="Run the blueprint tests of a revision; nothing is carried out.",
        tag="drafts",
        view=run_tests,
        query=TestQuery,
        answers={200: TestsDto},
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}/test",
        summary="Make a blueprint test of a recorded run.",
        tag="runs",
        view=make_test_of_run,
        answers={200: RunTestDto},
        errors=(404,),
    ),
)
