"""Absurd doing the benchmark's runs: a task of three steps, from its queue in Postgres.

Run by a Python that has Absurd, which need not have Xyn; see :mod:`bench.peer`.
"""

import asyncio
import importlib
import os
import sys
from typing import Any, Final

import psycopg

from bench.step import STEPS, light_step

_URL: Final = os.environ["DATABASE_URL"].replace("postgresql+psycopg:", "postgresql:")
_QUEUE: Final = "bench"
_TASK: Final = "three"
_AT_ONCE: Final = 10
_POLLING_SECONDS: Final = 0.01


def work() -> None:
    app = _library("absurd_sdk").AsyncAbsurd(_URL, queue_name=_QUEUE)

    async def three(given: dict[str, Any], context: Any) -> None:  # noqa: ANN401 - untyped there
        for index in range(STEPS):

            async def step(index: int = index) -> dict[str, Any]:
                return light_step(given["run"], index, STEPS)

            await context.step(f"step-{index}", step)

    app.register_task(name=_TASK)(three)
    asyncio.run(app.start_worker(concurrency=_AT_ONCE, poll_interval=_POLLING_SECONDS))


def prepare() -> None:
    """Make its tables and the queue."""
    with psycopg.connect(_URL, autocommit=True) as connection:
        connection.execute(_library("absurdctl").BUNDLED_SCHEMA_SQL)
    _library("absurd_sdk").Absurd(_URL, queue_name=_QUEUE).create_queue()


def submit(prefix: str, count: int) -> None:
    app = _library("absurd_sdk").Absurd(_URL, queue_name=_QUEUE)
    for number in range(count):
        app.spawn(_TASK, {"run": f"{prefix}-{number}"}, queue=_QUEUE)


def _library(name: str) -> Any:  # noqa: ANN401 - not installed where types are checked
    return importlib.import_module(name)


def main(verb: str, *arguments: str) -> None:
    if verb == "work":
        work()
    elif verb == "submit":
        submit(arguments[0], int(arguments[1]))
    else:
        prepare()
    os._exit(0)  # threads of its own would hold up the end


if __name__ == "__main__":
    main(*sys.argv[1:])
