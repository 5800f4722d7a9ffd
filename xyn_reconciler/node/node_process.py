"""The node process: judge pushes, reconcile, record, review, mirror, sweep, maintain, follow."""

import datetime as dt
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.node.apps import managed_apps
from xyn_reconciler.node.artifact_upkeep import ArtifactUpkeep
from xyn_reconciler.node.context import open_context
from xyn_reconciler.node.follow import Follower
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.mirror import Mirror
from xyn_reconciler.node.process import process
from xyn_reconciler.node.readable import tell_readable
from xyn_reconciler.node.retention import Retention
from xyn_reconciler.node.ticket import Tickets
from xyn_reconciler.reconcile.push import PushGate
from xyn_reconciler.record.checkpoint import take
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.review.announce import announce
from xyn_reconciler.review.checking import Checking
from xyn_reconciler.review.loop import Reviews
from xyn_reconciler.run.sweep import sweep
from xyn_reconciler.service import identity
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.triggers import foretold
from xyn_reconciler.store import desired, footprints
from xyn_reconciler.store.git_inspection import Inspection
from xyn_reconciler.store.git_maintenance import StaleLocks
from xyn_reconciler.store.push_hook import HookServer, hook_socket, install_hooks
from xyn_reconciler.trigger.schedule import Clockwork

CLOCK_SECONDS: Final = 1
SWEEP_SECONDS: Final = 2
LOCKS_SECONDS: Final = 1
INSPECT_SECONDS: Final = 5
FOLLOW_SECONDS: Final = 30
MAINTAIN_SECONDS: Final = 600
CHECKPOINT_SECONDS: Final = 3600
RETAIN_SECONDS: Final = 60
ARTIFACTS_SECONDS: Final = 3600
MONTHS_SECONDS: Final = 21600

_log = logging.getLogger(__name__)


def _stores(home: Path) -> AbstractContextManager[Context]:
    return open_context(home, os.environ["DATABASE_URL"], os.environ["XYN_URL"])


def pusher(context: Context, tickets: Tickets, ticket: str) -> Principal | None:
    """Who a ticket stands for, with the rights of now: a push may take minutes to come in."""
    holder = tickets.redeem(ticket)
    if holder is None:
        return None
    identity.renew_rules(context)
    return identity.rules(context).principal(holder.id)


def main() -> None:
    with process("node", _stores) as (context, stop):
        home = Home(context.home)
        context.secrets.follow(
            lambda: tell_readable(home, context.database, context.secrets, context.clock())
        )
        node_id = home.node_id() or ""
        gate = PushGate(
            context.reconciler,
            context.repository,
            context.database,
            context.intake.emit,
            principal_of=partial(pusher, context, Tickets.of(home, context.clock)),
            foresee=lambda document: foretold(document, context.clock()),
            unsealed=context.secrets.check,
            knows=context.secrets.knowing,
            announce=partial(announce, context.database, context.url),
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
        checking = Checking(
            database=context.database,
            repository=context.repository,
            reconciler=context.reconciler,
            merging=context.merging,
            artifacts=context.artifacts,
            redactor=context.redactor,
            catalogue=context.catalogue,
            emit=context.intake.emit,
            clock=context.clock,
        )
        ticks = _ticks(context, home)
        socket = hook_socket(home.run)
        with HookServer(socket, gate, repository=context.repository):
            install_hooks(context.repository, socket)
            loops = [
                threading.Thread(target=loop, args=(stop,), name=name)
                for name, loop in (
                    ("reconcile", context.reconciler.run),
                    ("record", committer.run),
                    ("review", Reviews(checking).run),
                    ("apps", managed_apps(context, home).run),
                )
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
    scheduler.add_job(_tick(lambda: _begin(context)))
    locks = StaleLocks(context.repository.path)
    scheduler.add_job(_tick(lambda: _unlock(locks)), "interval", seconds=LOCKS_SECONDS)
    inspection = Inspection(context.repository)
    scheduler.add_job(
        _tick(lambda: _inspect(context, inspection)), "interval", seconds=INSPECT_SECONDS
    )
    scheduler.add_job(
        _tick(context.repository.maintain), "interval", seconds=MAINTAIN_SECONDS, jitter=60
    )
    scheduler.add_job(
        _tick(lambda: _make_months(context)),
        "interval",
        seconds=MONTHS_SECONDS,
        next_run_time=context.clock(),
    )
    scheduler.add_job(
        _tick(lambda: _checkpoint(context, home.node_id() or "")),
        "interval",
        seconds=CHECKPOINT_SECONDS,
        # Not at once: what the start noted is on its way to Git.
        next_run_time=context.clock() + dt.timedelta(seconds=INSPECT_SECONDS),
    )
    retention = Retention(context.database, context.clock)
    scheduler.add_job(_tick(lambda: _retain(retention)), "interval", seconds=RETAIN_SECONDS)
    upkeep = ArtifactUpkeep(context.database, context.artifacts, context.clock)
    scheduler.add_job(
        _tick(lambda: _keep_up(upkeep)),
        "interval",
        seconds=ARTIFACTS_SECONDS,
        # Not at once: the node's settings are on their way.
        next_run_time=context.clock() + dt.timedelta(seconds=INSPECT_SECONDS),
    )
    origin = home.origin()
    if origin is not None:
        follower = Follower(context.database, context.repository, origin, context.reconciler.notice)
        scheduler.add_job(_tick(follower.look), "interval", seconds=FOLLOW_SECONDS)
    return scheduler


def _clock(context: Context, clock: Clockwork) -> None:
    with context.database.begin() as connection:
        clock.tick(connection, context.clock())


def _begin(context: Context) -> None:
    """What an earlier program could not start, this one may."""
    with context.database.begin() as connection:
        desired.drop_condition(connection, "EventsSetAside")
        # The audit keeps it; here it is shown until somebody has seen to it and starts anew.
        desired.drop_condition(connection, "SecretCaught")


def _checkpoint(context: Context, node_id: str) -> None:
    taken = take(context.database, context.repository, node_id, now=context.clock())
    if taken is not None:
        _log.info("%s", taken.line())


def _retain(retention: Retention) -> None:
    gone = retention.look()
    if gone:
        _log.info("%d handled events are as old as limits.backlog says: Git has them", gone)


def _keep_up(upkeep: ArtifactUpkeep) -> None:
    gone = upkeep.look()
    if gone:
        _log.info("the bytes of %d artifacts are gone, as retention says", gone)


def _unlock(locks: StaleLocks) -> None:
    for name in locks.sweep():
        _log.warning("the repository's %s was left over from a kill: removed", name)


def _inspect(context: Context, inspection: Inspection) -> None:
    """Say what is damaged in the repository, and when it no longer is."""
    before, damage = inspection.found, inspection.look()
    if damage == before:
        return
    if damage:
        _log.error("the state repository is damaged: %s", damage)
    condition = Condition(
        "RepositoryDamaged",
        status=damage is not None,
        reason="Whole" if damage is None else "CorruptObject",
        message=(
            "every object that is in use can be read"
            if damage is None
            else f"{damage}. Runs go on; bring the object back from a clone or a mirror"
            " (git unpack-objects, or a copy of its pack), then xynctl doctor looks at all of it"
        ),
        since=context.clock(),
    )
    with context.database.begin() as connection:
        desired.set_condition(connection, condition)


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
