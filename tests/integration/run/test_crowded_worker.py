"""More to take up than a worker has room for: what a look finds and what the queue holds."""

import datetime as dt
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.run import worker as worker_module

LONG_AGO = dt.timedelta(hours=1)


def test_a_worker_outlives_a_crowd_of_old_and_new_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MOST", 2)
    go_on = threading.Event()

    def wait(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        assert go_on.wait(20)
        return {}

    bench.actions["demo.act"] = tool = Tool("demo.act", wait)
    document = {"plan": [{"id": "act", "kind": "action_task", "action": "demo.act", "with": {}}]}
    # Nobody tells of the old ones: a look finds them. The new ones are in the queue.
    old = [bench.start(document, created_at=bench.now() - LONG_AGO) for _ in range(4)]
    with bench.database.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs"))
    new = [bench.start(document) for _ in range(4)]
    stop = threading.Event()
    thread = threading.Thread(target=bench.worker().work, args=(stop,))
    thread.start()
    try:
        bench.wait_for(lambda: len(tool.calls) > 2)
        bench.start(document)  # noticed while there is no room
        threading.Timer(0.5, go_on.set).start()
        bench.wait_for(
            lambda: all(bench.shown(run_id).status == "completed" for run_id in (*old, *new))
        )
    finally:
        go_on.set()
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
