"""The worker process: advances runs, whichever it is woken for."""

import datetime as dt
import os
import socket
import uuid

from xyn_reconciler.action.drafts_save import DraftsSave
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.node.agents import agent_task
from xyn_reconciler.node.drafts import Drafts
from xyn_reconciler.node.engine import Engine, open_engine
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.process import process
from xyn_reconciler.run.equipment import MayUseSecret
from xyn_reconciler.run.worker import Worker, utc_now


def main() -> None:
    with process("worker", lambda home: open_engine(Home(home), os.environ["DATABASE_URL"])) as (
        engine,
        stop,
    ):
        started_at = os.environ.get("XYN_STARTED_AT")
        worker = Worker(
            database=engine.database,
            actions={
                **installed_actions(),
                "agent_task": agent_task(),
                "drafts.save": DraftsSave(Drafts(engine, os.environ["XYN_URL"]).save),
            },
            artifacts=engine.artifacts,
            emit=engine.intake.emit,
            redactor=engine.redactor,
            secret=engine.secret,
            may_use_secret=_may_use_secret(engine),
            launch=engine.intake.start_run,
            name=f"{socket.gethostname()}:{os.getpid()}:{utc_now().timestamp():.6f}",
            node_started_at=None if started_at is None else dt.datetime.fromisoformat(started_at),
        )
        worker.work(stop)
        worker.close()


def _may_use_secret(engine: Engine) -> MayUseSecret:
    def use(actor: str, run_id: uuid.UUID, reference: str) -> None:
        # The repository's libraries come along: only where a step asks for a secret.
        from xyn_reconciler.service.policy import use_secret  # noqa: PLC0415 - as above

        use_secret(engine)(actor, run_id, reference)

    return use


if __name__ == "__main__":
    main()
