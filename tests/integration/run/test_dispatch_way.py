"""Wake-ups through the real queue: from a committed enqueue to the end of the run."""

import threading
import time
import uuid

from tests.integration.run.engine_bench import Bench
from xyn_reconciler.store import dispatch


def wait_for(bench: Bench, run_id: uuid.UUID, status: str) -> None:
    until = time.monotonic() + 60
    while bench.shown(run_id).status != status:
        assert time.monotonic() < until, bench.shown(run_id)
        time.sleep(0.05)


def test_a_job_wakes_a_worker_and_an_approval_wakes_it_again(bench: Bench) -> None:
    stop = threading.Event()
    worker = bench.worker()
    loop = threading.Thread(target=lambda: worker.work(stop))
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    run_id = bench.start({"plan": [gate, {"id": "end", "kind": "transform"}]})
    with bench.database.begin() as connection:
        dispatch.enqueue(connection, run_id)

    loop.start()
    try:
        wait_for(bench, run_id, "waiting")
        bench.decide(run_id, "ok", "approved")
        wait_for(bench, run_id, "completed")
    finally:
        stop.set()
        loop.join(20)

    assert not loop.is_alive()
