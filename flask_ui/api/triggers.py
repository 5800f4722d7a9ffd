"""What triggers wait for, over the API: schedules, sources, and the backlog that slows them."""

from typing import Final

from flask_ui.api.table import Answer, Operation
from flask_ui.state import context
from xyn_reconciler.model.dto import Page
from xyn_reconciler.service import triggers
from xyn_reconciler.service.triggers import BacklogDto, ScheduleDto, SourceDto


def list_schedules() -> Answer:
    return Page[ScheduleDto](items=triggers.list_schedules(context()))


def list_sources() -> Answer:
    return Page[SourceDto](items=triggers.list_sources(context()))


def get_backlog() -> Answer:
    return triggers.backlog(context())


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/schedules",
        summary="List the schedules of the active blueprints; one page holds them all.",
        tag="triggers",
        view=list_schedules,
        answers={200: Page[ScheduleDto]},
    ),
    Operation(
        method="GET",
        path="/sources",
        summary="List the active webhook sources; one page holds them all.",
        tag="triggers",
        view=list_sources,
        answers={200: Page[SourceDto]},
    ),
    Operation(
        method="GET",
        path="/backlog",
        summary="Show how many runs wait for a worker, and whose starts are slowed.",
        tag="triggers",
        view=get_backlog,
        answers={200: BacklogDto},
    ),
)
