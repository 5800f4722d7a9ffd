"""Run an example of a pack's action: what it is given in, what comes of it compared.

Nothing leaves this machine. What the action asks of an outside system comes to a server here
that speaks the example's answers; a command for another machine or for a container has its
answer from the example, for nobody else could give it; a program of the pack is really run,
confined as on a node. Secrets are those of the example.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal

from xyn_reconciler.action import confined
from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.action.example_server import Exchanges, serving, short
from xyn_reconciler.action.pack_action import PackAction
from xyn_reconciler.action.url import parse_url
from xyn_reconciler.desired.values import equal
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError
from xyn_reconciler.model.pack import BODIES, CODE
from xyn_reconciler.model.run import PlanPack

SECONDS: Final = 60.0
"""What one example may take."""
_ELSEWHERE: Final = frozenset({"confinement_unavailable", "engine_unavailable"})
"""Failures that are this machine's and not the pack's."""
_RUN: Final = uuid.UUID("00000000-0000-7000-8000-000000000000")
_LOG_LINES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one example."""

    outcome: Literal["passed", "failed", "skipped"]
    reasons: tuple[str, ...] = ()
    """What is different from what is declared, or why it was skipped."""
    seconds: float = 0.0


def run_example(example: Mapping[str, Any], pack: PlanPack, tools: Mapping[str, Action]) -> Result:
    """Run one; ``example`` is a document as ``model.pack_example.PackExample`` has it.

    ``pack`` has the settings that the example gives; ``tools`` are the installed actions.
    """
    name = example["action"]
    definition = pack.actions.get(name)
    if definition is None:
        return Result(outcome="failed", reasons=(f"the pack has no action {name}",))
    why = _not_here(definition, example)
    if why is not None:
        return Result(outcome="skipped", reasons=(why,))
    began = time.monotonic()
    exchanges = Exchanges(example.get("answers") or ())
    lines: list[str] = []
    outputs, failed = _done(name, definition, example, pack, tools, exchanges, lines.append)
    if failed is not None and failed.failure_code in _ELSEWHERE:
        return Result(outcome="skipped", reasons=(failed.message,))
    reasons = [*exchanges.differences, *exchanges.missing()]
    reasons += _compared(example.get("expect") or {}, outputs, failed)
    if reasons and failed is not None and failed.failure_code == "secret_not_found":
        reasons.append("an example has secrets of its own: secrets: {REFERENCE: made-up}")
    if reasons:
        reasons += [f"log: {line}" for line in lines[-_LOG_LINES:]]
    return Result(
        outcome="failed" if reasons else "passed",
        reasons=tuple(reasons),
        seconds=time.monotonic() - began,
    )


def _not_here(definition: Mapping[str, Any], example: Mapping[str, Any]) -> str | None:
    code = definition.get(CODE)
    if code is not None and code.get("in", "process") == "process":
        why = confined.unavailable()
        return None if why is None else f"a program cannot be confined here: {why}"
    body = next((each for each in ("ssh", "container") if each in definition), None)
    if body is not None and not example.get("answers"):
        return f"it needs a real {BODIES[body]}: say under answers what that gives"
    return None


def _done(
    name: str,
    definition: Mapping[str, Any],
    example: Mapping[str, Any],
    pack: PlanPack,
    tools: Mapping[str, Action],
    exchanges: Exchanges,
    log: Any,  # noqa: ANN401 - of a list
) -> tuple[dict[str, Any] | None, StepError | None]:
    context = ActionContext(
        run_id=_RUN,
        step_id=_RUN,
        attempt=1,
        correlation_id="example",
        deadline=time.monotonic() + SECONDS,
        cancelled=lambda: False,
        log=log,
        secret=(example.get("secrets") or {}).get,
        egress=("127.0.0.1",),
        idempotency_key=example.get("idempotency_key"),
        artifact=_keep,
    )
    with serving(exchanges) as server:
        here: dict[str, Action] = {**tools}
        for tool in BODIES.values():
            if tool in tools:
                here[tool] = _Declared(tools[tool].spec, exchanges)
        http = BODIES["request"]
        here[http] = _Here(tools[http], server, exchanges)
        action = PackAction(name, definition, pack, {**here})
        try:
            return action.run(example.get("with") or {}, context), None
        except StepError as error:
            return None, error


def _keep(
    *,
    name: str,
    kind: str,
    content_type: str,
    content: bytes | BinaryIO,
    retention: str | None = None,
) -> uuid.UUID:
    """Read what would be kept."""
    del name, kind, content_type, retention
    while not isinstance(content, bytes) and content.read(1 << 20):
        continue
    return _RUN


class _Here:
    """``http.call``, whose requests come to this machine, wherever they were to go."""

    def __init__(self, tool: Action, server: str, exchanges: Exchanges) -> None:
        self.spec = tool.spec
        self._tool = tool
        self._server = server
        self._exchanges = exchanges

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        url = parse_url(inputs["url"])[0]
        self._exchanges.url = str(url)
        asked = {name: value for name, value in inputs.items() if name != "tls"}
        target = url.raw_path.decode("ascii")
        return self._tool.run({**asked, "url": f"{self._server}{target}"}, context)


class _Declared:
    """``ssh.run`` or ``container.exec``: what it would give stands in the example."""

    def __init__(self, spec: ActionSpec, exchanges: Exchanges) -> None:
        self.spec = spec
        self._exchanges = exchanges

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        del context
        answer = self._exchanges.take({"with": dict(inputs)})
        if answer is None:
            raise PermanentError("not_declared", "the example has no answer to this")
        outputs: dict[str, Any] = {"exit_status": answer.get("exit_status", 0)}
        for stream in ("stdout", "stderr"):
            text = answer.get(stream, "")
            outputs |= {stream: text, f"{stream}_bytes": len(text.encode())}
        if "result" in answer:
            outputs["result"] = answer["result"]
        if outputs["exit_status"] != 0:
            message = f"the command ended with exit status {outputs['exit_status']}"
            raise PermanentError("exit_status", message, details=outputs)
        return outputs


# ── comparing ────────────────────────────────────────────────────────────────────────────────────


def _compared(
    expect: Mapping[str, Any], outputs: Mapping[str, Any] | None, failed: StepError | None
) -> Sequence[str]:
    wanted = expect.get("error")
    if failed is not None:
        told = f"{failed.failure_code}: {failed.message}"
        if wanted is None:
            return [f"it failed with {told}"]
        found: dict[str, Any] = {
            "code": failed.failure_code,
            "message": failed.message,
            "temporary": isinstance(failed, TemporaryError),
        }
        return [
            f"error.{key}: expected {short(value)}, found {short(found[key])} ({told})"
            for key, value in wanted.items()
            if not equal(value, found[key])
        ]
    given = outputs or {}
    if wanted is not None:
        return [f"expected the error {wanted['code']}, but it went well and gave {short(given)}"]
    return [
        f"outputs.{name}: expected {short(value)}, "
        + (f"found {short(given[name])}" if name in given else "found none")
        for name, value in (expect.get("outputs") or {}).items()
        if name not in given or not equal(value, given[name])
    ]
