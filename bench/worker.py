"""The worker process of a node, with the benchmark's actions beside its own.

``python -m bench.worker --home H``: everything but those actions is
:mod:`xyn_reconciler.node.worker_process`. The trap: that module takes the
registry's function by name, so the registry is changed before it is imported.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from bench.desired import ACTION, HOLD
from bench.step import light_step, stamp
from xyn_reconciler.action import registry
from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.model.capability import ActionSpec

HOLDS: Final = "BENCH_HOLDS"
"""Set for a worker that never ends ``bench.hold``: the one that will be killed."""


class BenchStep:
    """What a step of the floor does, as an action."""

    spec = ActionSpec(ACTION, "Compute a little and say when", {}, {}, idempotent=True)

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:  # noqa: ARG002 - an action's shape
        return light_step(inputs["run"], inputs["index"], inputs["count"])


class BenchHold:
    """A step that one worker never ends, and any other ends at once."""

    spec = ActionSpec(HOLD, "Wait to be taken over", {}, {}, idempotent=True)

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        stamp("began", inputs["run"])
        while os.environ.get(HOLDS) and not context.cancelled():
            time.sleep(0.05)
        stamp("ended", inputs["run"])
        return {}


def main() -> None:
    installed = registry.installed_actions

    def with_ours() -> dict[str, Action]:
        return {**installed(), ACTION: BenchStep(), HOLD: BenchHold()}

    vars(registry)["installed_actions"] = with_ours
    from xyn_reconciler.node import worker_process  # noqa: PLC0415 - see the module's trap

    worker_process.main()
    os._exit(0)  # a step's thread of its own must not hold up the end


if __name__ == "__main__":
    main()
