"""A worker process for tests to kill: advances one run with an action that counts its effects."""

import datetime as dt
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database


def main(url: str, artifacts: str, run_id: str, effects: str) -> None:
    def act(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        with Path(effects).open("a") as file:
            file.write(f"{context.step_id} {context.attempt} {context.idempotency_key}\n")
        return {"said": inputs.get("say")}

    with Database(url) as database:
        bench = Bench(database, ArtifactStore(Path(artifacts)))
        bench.actions["demo.act"] = Tool("demo.act", act)
        worker = bench.worker(f"worker-{uuid.uuid4()}", lease=dt.timedelta(milliseconds=200))
        worker.advance(uuid.UUID(run_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
