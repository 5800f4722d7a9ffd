"""Change files of ``main`` at once, where policy asks for no review: judged, asked, audited, moved.

The same way as a push, without a pusher: for what the node's own commands change. Where
an approval is asked for, ``NeedsApprovalError`` says so, and the caller saves a draft.
"""

import time
from collections.abc import Mapping
from typing import Final

from xyn_reconciler.desired.effects import effects
from xyn_reconciler.desired.layout import governed_as
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import ConflictError, UnavailableError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.change import Asked, ask, requests_of, told
from xyn_reconciler.policy.lockout import policies_in_force
from xyn_reconciler.reconcile.permission import asked_of_secrets
from xyn_reconciler.review import landing
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.facts import in_force
from xyn_reconciler.review.landing import Landed
from xyn_reconciler.review.merged import Merged
from xyn_reconciler.store import audit, grants

SECONDS: Final = 30.0
"""How long it is tried again while others move ``main``."""


def change_main(
    desk: Desk, files: Mapping[str, bytes | None], actor: Principal, *, message: str, what: str
) -> Landed:
    """Commit files to ``main`` (None takes one out); ``what`` names the change in errors.

    Raises ``ConflictError`` where nothing would change, ``ProblemsError``, ``DeniedError``,
    ``NeedsApprovalError``, and ``UnavailableError`` where ``main`` does not come to rest.
    """
    until = time.monotonic() + SECONDS
    while True:
        main = desk.main()
        landing.settled(desk, main)
        merged = _written(desk, main, files, actor, message)
        entries = decide(desk, merged, actor, how="settings", what=what)
        with desk.database.begin() as connection:
            audit.put(connection, entries)
        if landing.moved(desk, main=main, commit=merged.commit):
            return landing.landed(desk, merged.commit)
        if time.monotonic() >= until:
            raise UnavailableError("main moves all the time: try again")


def _written(
    desk: Desk, main: str, files: Mapping[str, bytes | None], actor: Principal, message: str
) -> Merged:
    repository = desk.repository
    commit = repository.write_files(
        main,
        changes=files,
        message=message,
        author=landing.author(actor),
        now=desk.clock(),
    )
    if repository.commit(commit).tree == repository.commit(main).tree:
        raise ConflictError("nothing would change: main has it so already")
    return desk.merging.of(main, commit)


def decide(
    desk: Desk,
    merged: Merged,
    actor: Principal,
    *,
    how: str,
    what: str,
    advice: str = "",
    about: Mapping[str, str] | None = None,
) -> list[AuditEntry]:
    """Judge a commit on ``main`` and ask; gives the entries of one that may be.

    ``about`` goes into them (``revision`` of a rollback), ``advice`` is for who needs an
    approval.
    """
    now, told_of = desk.clock(), dict(about or {})
    ruling = in_force(desk.database, desk.reconciler)
    landing.refuse_following(desk, ruling.settings)
    landing.refuse_problems(desk, merged, ruling.node_id, now)
    asked = _asked(desk, merged, actor, told_of.get("revision"))
    with desk.database.read() as connection:
        grant = grants.open_grant(connection, actor, now)
    if grant is None:
        reasons = [words for each in asked for words in each.unmet]
        error = landing.refusal(what, asked, reasons, advice=advice)
        if error is not None:
            landing.tell_refused(desk, asked, now, told_of)
            raise error
    reverts = {"reverts": told_of["revision"]} if "revision" in told_of else {}
    accepted = landing.accepted(
        actor, old=merged.main, new=merged.commit, how=how, now=now, **reverts
    )
    decided = [told(each, now, grant_id=grant if each.unmet else None, **told_of) for each in asked]
    return [*decided, accepted]


def _asked(desk: Desk, merged: Merged, actor: Principal, resource_id: str | None) -> list[Asked]:
    now = desk.clock()
    ruling = in_force(desk.database, desk.reconciler)
    judged = desk.merging.judge(merged)
    changed = effects(judged.before, judged.judgement.state, ruling.node_id, lambda *_: ())
    requests = requests_of(
        map(governed_as, merged.differing),
        actor=actor,
        stage=ruling.settings["stage"],
        env_id=ruling.settings["env_id"],
        risk=changed.risk,
        now=now,
        resource_id=resource_id or "main",
        authors=frozenset({actor.id}),
    )
    policies = policies_in_force(ruling.state.files.values(), ruling.revision)
    secrets = asked_of_secrets(
        judged.before,
        judged.judgement.state,
        merged.differing,
        policies,
        actor=actor,
        settings=ruling.settings,
        now=now,
    )
    return [*ask(requests, policies), *secrets]
