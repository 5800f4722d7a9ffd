"""What a plan holds of packs, and what people see of it at a gate."""

import uuid
from typing import Any

from xyn_reconciler.model.capability import CompiledRun
from xyn_reconciler.model.run import PlanNode, PlanPack, StepView
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.effect import effect
from xyn_reconciler.run.scope import RunView

PACK = PlanPack(
    version="0.1.0",
    digest="d1",
    settings={"url": "http://127.0.0.1:1"},
    actions={"cmk.ack": {"summary": "x", "request": {"url": "{{ settings.url }}"}}},
)
LOGIN = PACK.model_copy(
    update={"actions": {"cmk.ack": {"summary": "x", "ssh": {"host": "a", "cmd": "b"}}}}
)


def compiled(action: str = "cmk.ack", **given: Any) -> CompiledRun:  # noqa: ANN401 - as compile_run's
    steps = [
        {"id": "ok", "kind": "gate", "mode": "manual"},
        {"id": "a", "kind": "action_task", "action": action, "with": {}},
    ]
    return compile_run(
        {"id": "bp.x", "plan": steps},
        path="blueprints/x.yaml",
        blob_id=f"b-{action}",
        files={},
        node=PlanNode(id="seed", env_id="local", stage="dev"),
        event=None,
        given=None,
        **given,
    )


def test_a_plan_without_packs_has_the_digest_that_it_had_before_there_were_any() -> None:
    plain = compiled("http.call")

    assert compiled("http.call", packs={"cmk": PACK}, known_hosts="a b c").digest == plain.digest


def test_other_settings_or_another_content_make_another_plan() -> None:
    moved = PACK.model_copy(update={"settings": {"url": "http://127.0.0.1:2"}})
    risen = PACK.model_copy(update={"digest": "d2"})

    digests = [compiled(packs={"cmk": each}).digest for each in (PACK, moved, risen, PACK)]

    assert len({*digests}) == 3
    assert digests[0] == digests[3]


def test_known_hosts_travel_with_what_logs_in_and_with_nothing_else() -> None:
    plans = [
        compiled("ssh.run", known_hosts="a b c").plan,
        compiled(
            packs={"cmk": LOGIN.model_copy(update={"digest": "d3"})}, known_hosts="a b c"
        ).plan,
        compiled(packs={"cmk": PACK}, known_hosts="a b c").plan,
    ]

    assert [each.known_hosts for each in plans] == ["a b c", "a b c", ""]


def test_a_gate_shows_which_pack_will_act_and_how_it_is_set() -> None:
    run = RunView(run_id=uuid.UUID(int=1), revision="0" * 40, actor="ada", inputs={}, event=None)
    steps = {key: StepView(key=key) for key in ("ok", "a")}

    def shown(compiled_run: CompiledRun) -> dict[str, Any]:
        return effect(compiled_run.plan, run, steps, "ok", lambda _: ())

    assert shown(compiled(packs={"cmk": PACK}))["packs"] == {
        "cmk": {"version": "0.1.0", "digest": "d1", "settings": {"url": "http://127.0.0.1:1"}}
    }
    assert "packs" not in shown(compiled("http.call"))
