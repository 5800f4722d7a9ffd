"""What an action is given where a test calls it by itself, without the engine."""

import time
import uuid
from dataclasses import replace
from typing import Any

from xyn_reconciler.action.context import ActionContext


def an_attempt(**given: Any) -> ActionContext:  # noqa: ANN401 - the fields of ActionContext
    """Give one that ends in a minute, may reach loopback, and has what a test names."""
    plain = ActionContext(
        run_id=uuid.uuid4(),
        step_id=uuid.uuid4(),
        attempt=1,
        correlation_id="c1",
        deadline=time.monotonic() + 60,
        cancelled=lambda: False,
        log=lambda _: None,
        secret=lambda _: None,
        egress=("127.0.0.0/8",),
    )
    return replace(plain, **given)
