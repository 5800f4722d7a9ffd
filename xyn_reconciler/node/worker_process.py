"""The worker process: advances runs, whichever it is woken for."""

import datetime as dt
import functools
import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path

from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.model.secret import SecretUse
from xyn_reconciler.node.agents import agent_task
from xyn_reconciler.node.engine import Engine, open_engine
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.platform_actions import platform_actions
from xyn_reconciler.node.process import process
from xyn_reconciler.run.equipment import MayUseSecret
from xyn_reconciler.run.worker import Worker, utc_now
from xyn_reconciler.store.patience import AWAY, patiently


def main() -> None:
    with process("worker", _opened) as (engine, stop):
        engine.secrets.follow()
        started_at = os.environ.get("XYN_STARTED_AT")
        worker = Worker(
            database=engine.database,
            actions={
                **installed_actions(),
                "agent_task": agent_task(engine.database, engine.redactor.text, utc_now),
                **platform_actions(engine, os.environ["XYN_URL"]),
            },
            artifacts=engine.artifacts,
            emit=engine.intake.emit,
            unheard=engine.intake.unheard,
            redactor=engine.redactor,
            secret=lambda reference: patiently(lambda: engine.secret(reference)),
            may_use_secret=_may_use_secret(engine),
            launch=engine.intake.start_run,
            name=f"{socket.gethostname()}:{os.getpid()}:{utc_now().timestamp():.6f}",
            node_started_at=None if started_at is None else dt.datetime.fromisoformat(started_at),
        )
        worker.work(stop)
        worker.close()


def _opened(home: Path) -> AbstractContextManager[Engine]:
    return open_engine(Home(home), os.environ["DATABASE_URL"], patience=AWAY, by_key=True)


def _may_use_secret(engine: Engine) -> MayUseSecret:
    @functools.cache
    def asks() -> MayUseSecret:
        # The repository's libraries come along: only where a step asks for a secret.
        from xyn_reconciler.service.policy import use_secret  # noqa: PLC0415 - as above

        return use_secret(engine)

    def use(this: SecretUse) -> None:
        patiently(lambda: asks()(this))

    return use


if __name__ == "__main__":
    main()
