"""Runs, their steps and their gates over the API."""

import uuid
from collections.abc import Callable
from typing import Final

import flask
from pydantic import Field

from flask_ui import requests
from flask_ui.api.table import Answer, Operation, PageQuery, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import (
    FootprintDto,
    GateDecisionRequest,
    GateDto,
    LiveTextDto,
    Page,
    RerunRequest,
    ResolveRequest,
    RunCreateRequest,
    RunDto,
    StepDto,
)
from xyn_reconciler.model.run import RunStatus
from xyn_reconciler.service import gates, live, runs


class RunQuery(PageQuery):
    status: RunStatus | None = None
    blueprint_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,200}$")
    event_id: uuid.UUID | None = None
    parent_run_id: uuid.UUID | None = None


class GateQuery(PageQuery):
    waiting_only: bool = True


def start_run() -> Answer:
    request = requests.json_model(RunCreateRequest)
    run = runs.start_run(
        context(),
        actor(),
        request,
        correlation_id=flask.g.correlation_id,
        idempotency_key=requests.idempotency_key(flask.request),
    )
    return run, 201


def list_runs(query: RunQuery) -> Answer:
    return runs.list_runs(
        context(),
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        blueprint_id=query.blueprint_id,
        event_id=query.event_id,
        parent_run_id=query.parent_run_id,
    )


def get_run(run_id: uuid.UUID) -> Answer:
    return runs.get_run(context(), run_id)


def cancel_run(run_id: uuid.UUID) -> Answer:
    return runs.cancel_run(context(), actor(), run_id)


def rerun(run_id: uuid.UUID) -> Answer:
    request = requests.json_model(RerunRequest, optional=True)
    run = runs.rerun_run(
        context(),
        actor(),
        run_id,
        from_step=request.from_step,
        revision=request.revision,
        fresh=request.fresh,
        correlation_id=flask.g.correlation_id,
    )
    return run, 201


def resolve_step(run_id: uuid.UUID, step: str) -> Answer:
    request = requests.json_model(ResolveRequest)
    return runs.resolve_step(context(), actor(), run_id, step, request.resolution)


def list_steps(run_id: uuid.UUID) -> Answer:
    return Page[StepDto](items=runs.list_steps(context(), run_id))


def get_step(run_id: uuid.UUID, step: str) -> Answer:
    return runs.get_step(context(), run_id, step)


def live_texts(run_id: uuid.UUID, step: str) -> Answer:
    return Page[LiveTextDto](items=live.live_texts(context(), run_id, step))


def list_footprints(run_id: uuid.UUID) -> Answer:
    return Page[FootprintDto](items=runs.list_footprints(context(), run_id))


def list_gates(query: GateQuery) -> Answer:
    return gates.list_gates(
        context(), waiting_only=query.waiting_only, limit=query.limit, cursor=query.cursor
    )


def get_gate(run_id: uuid.UUID, step: str) -> Answer:
    return gates.get_gate(context(), run_id, step)


def approve_gate(run_id: uuid.UUID, step: str) -> Answer:
    request = requests.json_model(GateDecisionRequest, optional=True)
    return gates.decide_gate(context(), actor(), run_id, step, "approved", request)


def reject_gate(run_id: uuid.UUID, step: str) -> Answer:
    request = requests.json_model(GateDecisionRequest, optional=True)
    return gates.decide_gate(context(), actor(), run_id, step, "rejected", request)


def _decision(verb: str, view: Callable[..., Answer]) -> Operation:
    return Operation(
        method="POST",
        path=f"/runs/{{run_id}}/gates/{{step}}/{verb}",
        summary=f"{verb.capitalize()} what waits at a gate (as `effect_digest` names it).",
        tag="gates",
        view=view,
        body=json_body(GateDecisionRequest),
        body_required=False,
        answers={200: GateDto},
        errors=(409,),
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/runs",
        summary="Start a run of a blueprint.",
        tag="runs",
        view=start_run,
        body=json_body(RunCreateRequest),
        answers={201: RunDto},
        errors=(404, 409),
        idempotent_by_key=True,
    ),
    Operation(
        method="GET",
        path="/runs",
        summary="List runs, newest first.",
        tag="runs",
        view=list_runs,
        query=RunQuery,
        answers={200: Page[RunDto]},
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}",
        summary="Show one run.",
        tag="runs",
        view=get_run,
        answers={200: RunDto},
    ),
    Operation(
        method="POST",
        path="/runs/{run_id}/cancel",
        summary="Cancel a run: no new step begins.",
        tag="runs",
        view=cancel_run,
        answers={200: RunDto},
        errors=(409,),
    ),
    Operation(
        method="POST",
        path="/runs/{run_id}/rerun",
        summary="Run it again: from the start or a step, on its own revision or another.",
        tag="runs",
        view=rerun,
        body=json_body(RerunRequest),
        body_required=False,
        answers={201: RunDto},
        errors=(409,),
    ),
    Operation(
        method="POST",
        path="/runs/{run_id}/steps/{step}/resolve",
        summary="Say what becomes of an interrupted step: retry, done or fail.",
        tag="runs",
        view=resolve_step,
        body=json_body(ResolveRequest),
        answers={200: StepDto},
        errors=(409,),
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}/steps",
        summary="List a run's steps in the plan's order; one page holds them all.",
        tag="runs",
        view=list_steps,
        answers={200: Page[StepDto]},
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}/steps/{step}",
        summary="Show one step, by its id or its key in the plan.",
        tag="runs",
        view=get_step,
        answers={200: StepDto},
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}/steps/{step}/live",
        summary="Show what a step says while it runs; empty once the run's log is an artifact.",
        tag="runs",
        view=live_texts,
        answers={200: Page[LiveTextDto]},
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}/footprints",
        summary="List what a run used up: tokens, costs, requests, milliseconds, step by step.",
        tag="runs",
        view=list_footprints,
        answers={200: Page[FootprintDto]},
    ),
    Operation(
        method="GET",
        path="/gates",
        summary="List gates, newest first; those that wait, unless asked otherwise.",
        tag="gates",
        view=list_gates,
        query=GateQuery,
        answers={200: Page[GateDto]},
    ),
    Operation(
        method="GET",
        path="/runs/{run_id}/gates/{step}",
        summary="Show one gate: what an approval would let through, and who decided what.",
        tag="gates",
        view=get_gate,
        answers={200: GateDto},
    ),
    _decision("approve", approve_gate),
    _decision("reject", reject_gate),
)
