"""Actions: which there are, and one of them run by itself.

To try an action is a run as any other, of a blueprint with this one step that
stands in no file (``xyn.try``): so audit, secrets, artifacts, cancel and the
record hold for it too.
"""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from xyn_reconciler.desired.packs import with_packs
from xyn_reconciler.desired.wording import did_you_mean
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.document import SomeTime
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.run import RunStatus
from xyn_reconciler.run.compile import mismatch
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.policy import permission_to_execute
from xyn_reconciler.service.runs import get_run, get_step, known_run
from xyn_reconciler.store import audit
from xyn_reconciler.trigger.permission import TRY

STEP: Final = "try"
LONGEST_WAIT: Final = 300.0
_LOOK_SECONDS: Final = 0.1


class NotInstalledError(ConflictError):
    """An action that the language knows and this node cannot run."""

    code = "not_installed"


class ActionDto(BaseModel):
    """An action, in a line."""

    model_config = ConfigDict(extra="forbid")

    name: str
    summary: str
    installed: bool
    """False for what the language knows and this node cannot run."""
    idempotent: bool
    """Whether a step that was under way in a crash may simply run again."""
    capabilities: list[str]
    pack: str | None
    """The pack that brings it; None for Xyn's own."""


class ActionDetailDto(ActionDto):
    """All that is known of an action."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    redact: list[str]
    """Dotted paths in its outputs that are never kept."""
    errors: dict[str, str]
    """The codes that it fails with, and what each means."""


class ExecuteRequest(BaseModel):
    """An action with its ``with``, as a step of a blueprint has it."""

    model_config = ConfigDict(extra="forbid")

    action: str = Field(min_length=1, max_length=200)
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")
    timeout: SomeTime | None = None
    """The step's, as ``30s``."""
    wait_seconds: float = Field(default=30, ge=0, le=LONGEST_WAIT)
    """How long to wait for its end; the run goes on in any case."""


class ExecutedDto(BaseModel):
    """What came of it; ``error`` has the action's code."""

    model_config = ConfigDict(extra="forbid")

    run_id: uuid.UUID
    action: str
    status: RunStatus
    outputs: Any = None
    error: dict[str, Any] | None = None


def list_actions(context: Context) -> list[ActionDto]:
    """Every action that there is here, those of packs too, by name."""
    packs, actions = _catalogue(context)
    return [_dto(spec, packs) for _, spec in sorted(actions.items())]


def get_action(context: Context, name: str) -> ActionDetailDto:
    """One action; ``NotFoundError`` names the nearest."""
    packs, actions = _catalogue(context)
    spec = _known(actions, name)
    told = asdict(spec) | _dto(spec, packs).model_dump() | {"redact": list(spec.redact)}
    return ActionDetailDto.model_validate(
        {name: told[name] for name in ActionDetailDto.model_fields}
    )


def execute(
    context: Context,
    actor: Principal,
    request: ExecuteRequest,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    correlation_id: str,
) -> ExecutedDto:
    """Run one action by itself, and wait a while for its end. Operators only.

    ``settings`` are of packs, by id, instead of those in force.
    Raises ``NotFoundError``, :class:`NotInstalledError`, ``InvalidError`` where
    ``with`` does not fit, and what keeps somebody from starting a run.
    """
    _, actions = _catalogue(context)
    spec = _known(actions, request.action)
    if not spec.installed:
        raise NotInstalledError(f"{spec.name} cannot be run on this node")
    problem = None if _is_template(request.with_) else mismatch(spec.input_schema, request.with_)
    with context.database.begin() as connection:
        permission = permission_to_execute(context, connection, actor, spec.name)
        if problem is not None:
            raise InvalidError(f"the inputs of {spec.name} do not fit: {problem}")
        run_id = context.intake.start_document(
            connection,
            _document(request),
            actor=actor.id,
            correlation_id=correlation_id,
            permission=permission,
            settings=settings or {},
        )
        told = AuditEntry(
            kind="action.executed",
            actor=actor.id,
            at=context.clock(),
            subject=str(run_id),
            entry={"action": spec.name},
        )
        audit.put(connection, [told])
        run = known_run(connection, run_id)
    until = time.monotonic() + request.wait_seconds
    while not run.status.ended and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        run = get_run(context, run_id)
    step = get_step(context, run_id, STEP)
    return ExecutedDto(
        run_id=run_id,
        action=spec.name,
        status=run.status,
        outputs=step.outputs,
        error=(step.error or run.error or _stopped(run.status)) if run.status.ended else None,
    )


def _stopped(status: RunStatus) -> dict[str, Any] | None:
    if status is RunStatus.COMPLETED:
        return None
    return {"code": str(status), "message": f"the run was {status} before the action ended"}


def _document(request: ExecuteRequest) -> dict[str, Any]:
    step = {"id": STEP, "kind": "action_task", "action": request.action, "with": request.with_}
    if request.timeout is not None:
        step["timeout"] = request.timeout
    return {"id": TRY, "name": f"Try {request.action}", "plan": [step]}


def _is_template(given: Mapping[str, Any]) -> bool:
    """Whether something in it is an expression, which the step itself renders and checks."""
    return "{{" in json.dumps(given)


def _known(actions: Mapping[str, ActionSpec], name: str) -> ActionSpec:
    if name not in actions:
        raise NotFoundError(f"there is no action {name!r}{did_you_mean(name, actions)}")
    return actions[name]


def _catalogue(context: Context) -> tuple[Mapping[str, str], Mapping[str, ActionSpec]]:
    """The pack that brings an action, by the action's name; and all actions."""
    view = context.intake.recent(context.database)
    inside = (document for folder in view.pack_files.values() for document in folder.values())
    definitions = [each.document for each in inside if each.kind == "pack"]
    packs = {name: each["id"] for each in definitions for name in each.get("actions") or {}}
    return packs, with_packs(context.catalogue, definitions).actions


def _dto(spec: ActionSpec, packs: Mapping[str, str]) -> ActionDto:
    return ActionDto(
        name=spec.name,
        summary=spec.summary,
        installed=spec.installed,
        idempotent=spec.idempotent,
        capabilities=sorted(spec.capabilities),
        pack=packs.get(spec.name),
    )
