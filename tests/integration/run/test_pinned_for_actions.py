"""What the plan pins for actions reaches them: known hosts, images by name."""

from dataclasses import replace

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.store import dispatch, runs

STEP = {"id": "look", "kind": "action_task", "action": "look.tool", "with": {}}


def test_known_hosts_and_allowed_images_are_those_of_the_plan(bench: Bench) -> None:
    tool = Tool("look.tool", lambda _inputs, _context: {})
    bench.actions["look.tool"] = tool
    run = bench.new_run({"plan": [STEP]}, {})
    node = run.plan.node.model_copy(update={"images": ("tools/jq:1.7",)})
    plan = run.plan.model_copy(update={"known_hosts": "host key", "node": node})
    with bench.database.begin() as connection:
        runs.insert_runs(connection, [replace(run, plan=plan, plan_digest=plan.digest())])
        dispatch.enqueue(connection, run.run_id)

    bench.worker().advance(run.run_id)

    (context,) = tool.contexts
    assert (context.known_hosts, context.images) == ("host key", ("tools/jq:1.7",))
