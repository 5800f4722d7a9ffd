"""DBOS doing the benchmark's runs: a workflow of three steps, from its queue in Postgres.

Run by a Python that has DBOS, which need not have Xyn; see :mod:`bench.peer`.
"""

import importlib
import os
import sys
import threading
from typing import Any, Final

from bench.step import STEPS, light_step

_CONFIG: Final[dict[str, Any]] = {
    "name": "bench",
    "system_database_url": os.environ["DATABASE_URL"].replace("postgresql+psycopg:", "postgresql:"),
    "application_version": "v1",
    "log_level": "WARNING",
}
_QUEUE: Final = "bench"
_WORKFLOW: Final = "three"
_POLLING_SECONDS: Final = 0.01


def work(stop: threading.Event) -> None:
    dbos = _library().DBOS
    dbos(config={**_CONFIG, "executor_id": f"worker-{os.getpid()}"})

    def step(run: str, index: int) -> dict[str, Any]:
        return light_step(run, index, STEPS)

    durable = dbos.step()(step)

    def three(run: str) -> None:
        for index in range(STEPS):
            durable(run, index)

    dbos.workflow(name=_WORKFLOW)(three)
    dbos.launch()
    dbos.register_queue(_QUEUE, polling_interval_sec=_POLLING_SECONDS)
    stop.wait()


def prepare() -> None:
    """Let a worker make the tables, and know its workflow."""
    stop = threading.Event()
    stop.set()
    work(stop)


def submit(prefix: str, count: int) -> None:
    client = _library().DBOSClient(system_database_url=_CONFIG["system_database_url"])
    for number in range(count):
        run = f"{prefix}-{number}"
        client.enqueue(
            {
                "queue_name": _QUEUE,
                "workflow_name": _WORKFLOW,
                "app_version": "v1",
                "workflow_id": run,
            },
            run,
        )


def _library() -> Any:  # noqa: ANN401 - not installed where types are checked
    return importlib.import_module("dbos")


def main(verb: str, *arguments: str) -> None:
    if verb == "work":
        work(threading.Event())
    elif verb == "submit":
        submit(arguments[0], int(arguments[1]))
    else:
        prepare()
    os._exit(0)  # threads of its own would hold up the end


if __name__ == "__main__":
    main(*sys.argv[1:])
