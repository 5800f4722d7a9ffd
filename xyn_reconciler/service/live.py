"""What a step says while it runs."""

import uuid

from xyn_reconciler.model.dto import LiveTextDto
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.service.context import Context
from xyn_reconciler.store import live_log, runs


def live_texts(context: Context, run_id: uuid.UUID, step: str) -> list[LiveTextDto]:
    """What each attempt of a step (its id or key) said last, as long as its run is in hand.

    Nothing where the run waits or has ended: its log is an artifact then.
    """
    with context.database.read() as connection:
        said = live_log.of_step(connection, run_id, step)
        if not said and runs.get_run(connection, run_id) is None:
            raise NotFoundError(f"no run {run_id}")
    return [
        LiveTextDto(
            attempt_id=one.attempt_id,
            item_index=one.item_index,
            number=one.number,
            start=one.start,
            text=one.text,
        )
        for one in said
    ]
