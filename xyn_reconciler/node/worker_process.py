"""The worker process: advances runs, whichever it is woken for."""

import datetime as dt
import os
import socket

from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.node.agents import agent_task
from xyn_reconciler.node.process import process
from xyn_reconciler.run.worker import Worker
from xyn_reconciler.service.context import utc_now


def main() -> None:
    with process("worker") as (context, stop):
        started_at = os.environ.get("XYN_STARTED_AT")
        worker = Worker(
            database=context.database,
            actions={**installed_actions(), "agent_task": agent_task()},
            artifacts=context.artifacts,
            emit=context.intake.emit,
            redactor=context.redactor,
            secret=context.secret,
            name=f"{socket.gethostname()}:{os.getpid()}:{utc_now().timestamp():.6f}",
            node_started_at=None if started_at is None else dt.datetime.fromisoformat(started_at),
        )
        worker.work(stop)
        worker.close()


if __name__ == "__main__":
    main()
