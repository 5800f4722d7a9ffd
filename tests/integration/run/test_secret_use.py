"""A worker asks before it resolves a secret."""

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.model.secret import SecretUse

DOCUMENT = {
    "plan": [
        {
            "id": "call",
            "kind": "action_task",
            "action": "demo.act",
            "with": {},
            "retry": {"max_attempts": 3},
        }
    ]
}


def test_a_secret_that_may_not_be_used_fails_the_step_for_good_and_is_not_resolved(
    bench: Bench,
) -> None:
    asked: list[SecretUse] = []

    def refuse(use: SecretUse) -> None:
        asked.append(use)
        raise PermanentError("denied", "secret.use by pager on prod is denied")

    tool = Tool("demo.act", lambda _, context: {"seen": context.secret("env/KEY")})
    bench.actions["demo.act"] = tool
    run_id = bench.start(DOCUMENT, actor="pager")

    bench.worker(may_use_secret=refuse).advance(run_id)

    step = bench.steps(run_id)["call"]
    assert asked == [
        SecretUse(
            reference="env/KEY",
            actor="pager",
            by_hand=True,
            run_id=run_id,
            step="call",
            action="demo.act",
            attempt=1,
        )
    ]
    assert (step.status, (step.error or {})["code"]) == ("failed", "denied")
    assert len(tool.calls) == 1
