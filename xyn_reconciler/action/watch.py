"""End what cannot look at the clock itself: a library's blocking call, a container.

A thread looks for it several times a second. The trap: what it calls runs
beside the call that it ends, so it may only do what is safe from outside
(shut a socket, kill a container).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

SLICE_SECONDS: Final = 0.2


def over(context: ActionContext) -> StepError | None:
    """Say why the attempt has to end now, if it has to."""
    if context.cancelled():
        return PermanentError("cancelled", "the run was cancelled")
    if context.seconds_left() <= 0:
        return TemporaryError("timeout", "it took longer than it may")
    return None


def go_on(context: ActionContext) -> None:
    """Raise where the attempt is over."""
    reason = over(context)
    if reason is not None:
        raise reason


@contextlib.contextmanager
def ended_by(context: ActionContext, stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` once, if the attempt is over before the body is.

    However the body ends then, the reason is raised: all else is its consequence.
    """
    done = threading.Event()
    stopped: list[StepError] = []

    def watch() -> None:
        while not done.wait(SLICE_SECONDS):
            reason = over(context)
            if reason is not None:
                stopped.append(reason)
                stop()
                return

    watching = threading.Thread(target=watch, name="watch", daemon=True)
    watching.start()
    failure: Exception | None = None
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised below, where it is not a consequence
        failure = error
    finally:
        done.set()
        watching.join()
    reason = stopped[0] if stopped else None
    if failure is not None:
        # It may have noticed the end before the thread did.
        reason = reason or over(context)
        if reason is None:
            raise failure
        raise reason from failure
    if reason is not None:
        raise reason
