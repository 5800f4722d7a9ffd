"""The node process: judge pushes, reconcile, record, mirror, sweep, maintain, follow."""

import datetime as dt
import logging
import threading
from collections.abc import Callable
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.node.follow import Follower
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.mirror import Mirror
from xyn_reconciler.node.process import process
from xyn_reconciler.node.ticket import Tickets
from xyn_reconciler.reconcile.push import PushGate
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.run.sweep import sweep
from xyn_reconciler.service.context import Context
from xyn_reconciler.store import footprints
from xyn_reconciler.store.push_hook import HookServer, hook_socket, install_hooks
from xyn_reconciler.trigger.schedule import Clockwork

CLOCK_SECONDS: Final = 1
SWEEP_SECONDS: Final = 2
FOLLOW_SECONDS: Final = 30
MAINTAIN_SECONDS: Final = 600
MONTHS_SECONDS: Final = 21600

_log = logging.getLogger(__name__)


def main() -> None:
    with process("node") as (context, stop):
        home = Home(context.home)
        node_id = home.node_id() or ""
        gate = PushGate(
            context.reconciler,
            context.repository,
            context.database,
            context.intake.emit,
            principal_of=Tickets.of(home, context.clock).redeem,
            origin=home.origin(),
        )
        mirror = Mirror(context.database, context.repository, home.mirrored)
        committer = Committer(
            context.database,
            context.repository,
            artifacts=context.artifacts,
            node_id=node_id,
            redactor=context.redactor,
            clock=context.clock,
            on_written=mirror.notice,
        )
        ticks = _ticks(context, home)
        socket = hook_socket(home.run)
        with HookServer(socket, gate, repository=context.repository):
            install_hooks(context.repository, socket)
            loops = [
                threading.Thread(target=loop, args=(stop,), name=name)
                for name, loop in (("reconcile", context.reconciler.run), ("record", committer.run))
            ]
            last = threading.Event()
            mirroring = threading.Thread(target=mirror.run, args=(last,), name="mirror")
            for thread in (*loops, mirroring):
                thread.start()
            ticks.start()
            stop.wait()
            ticks.shutdown(wait=True)
            for thread in loops:
                thread.join()
        if socket.parent != home.run:
            # A home's path too long for a socket: its folder is outside the home, and goes with it.
            socket.parent.rmdir()
            # The last records are written now, and go with the last push.
            last.set()
            mirror.notice()
            mirroring.join()


def _ticks(context: Context, home: Home) -> BackgroundScheduler:
    """What happens every few seconds; a tick that is late or lost does no harm."""
    scheduler = BackgroundScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    clock = Clockwork(context.intake)
    scheduler.add_job(_tick(lambda: _clock(context, clock)), "interval", seconds=CLOCK_SECONDS)
    scheduler.add_job(_tick(lambda: _sweep(context)), "interval", seconds=SWEEP_SECONDS)
    scheduler.add_job(
        _tick(context.repository.maintain), "interval", seconds=MAINTAIN_SECONDS, jitter=60
    )
    scheduler.add_job(
        _tick(lambda: _make_months(context)),
        "interval",
        seconds=MONTHS_SECONDS,
        next_run_time=context.clock(),
    )
    origin = home.origin()
    if origin is not None:
        follower = Follower(context.database, context.repository, origin, context.reconciler.notice)
        scheduler.add_job(_tick(follower.look), "interval", seconds=FOLLOW_SECONDS)
    return scheduler


def _clock(context: Context, clock: Clockwork) -> None:
    with context.database.begin() as connection:
        clock.tick(connection, context.clock())


def _make_months(context: Context) -> None:
    """Make the partitions of this month's footprints and of the next one's."""
    now = context.clock()
    following = now.replace(day=1) + dt.timedelta(days=32)
    with context.database.begin() as connection:
        footprints.ensure_months(connection, [f"{now:%Y-%m}", f"{following:%Y-%m}"])


def _sweep(context: Context) -> None:
    with context.database.begin() as connection:
        sweep(connection, context.clock())


def _tick(work: Callable[[], None]) -> Callable[[], None]:
    """A tick that fails says so; the next one tries again."""

    def tick() -> None:
        try:
            work()
        except XynError as error:
            _log.warning("%s", error.message)

    return tick


if __name__ == "__main__":
    main()
