"""A clone follows its origin: ``main`` and records come from there, nothing goes back.

``main`` is only ever moved forward. Where a clone has commits of its own that the
origin lacks, it stays where it is and says so (condition ``Following``): which of
the two is right is for a person to say.
"""

import logging
from collections.abc import Callable
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.errors import ConflictError, XynError
from xyn_reconciler.model.principal import OPERATOR
from xyn_reconciler.record.audit import ACCEPTED, AUDIT, audit_ref
from xyn_reconciler.record.catch_up import catch_up
from xyn_reconciler.record.render import RUNS
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import audit, desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository

ORIGIN_MAIN: Final = "refs/xyn/origin/main"
"""The origin's ``main`` as last fetched."""

_log = logging.getLogger(__name__)


class Follower:
    """Brings a clone to where its origin is; told every 30 s by the node process."""

    def __init__(
        self, database: Database, repository: Repository, origin: str, notice: Callable[[], None]
    ) -> None:
        """``notice`` tells the reconciler that ``main`` moved."""
        self._database = database
        self._repository = repository
        self._origin = origin
        self._notice = notice

    def look(self) -> None:
        """Fetch once; an origin that does not answer is asked again next time."""
        with self._database.connect() as connection:
            node = desired.read_node(connection)
        if node.settings.get("follow") == "none":
            return
        before = self._repository.refs(RUNS)
        try:
            self._repository.fetch(
                self._origin,
                [
                    f"+{MAIN}:{ORIGIN_MAIN}",
                    f"+{RUNS}*:{RUNS}*",
                    # What this node itself recorded is its own, whatever the origin says of it.
                    f"^{RUNS}{node.node_id}/*",
                    # Their months go with it: it tells why one was written anew.
                    f"+{AUDIT}*:{AUDIT}*",
                    f"^{audit_ref(node.node_id)}",
                ],
            )
        except XynError as error:
            self._say(
                following=False,
                reason="OriginAway",
                message=f"the origin {self._origin} does not answer: {error.message}",
            )
            return
        self._move_main()
        catch_up(
            self._database, self._repository, before, self._repository.refs(RUNS), now=utc_now()
        )

    def _move_main(self) -> None:
        ours, theirs = self._repository.resolve(MAIN), self._repository.resolve(ORIGIN_MAIN)
        if theirs is None or ours == theirs:
            self._say(following=True, reason="Origin", message=f"as {self._origin}")
            return
        if ours is not None and not self._repository.is_ancestor(ours, theirs):
            self._say(
                following=False,
                reason="Diverged",
                message=(
                    f"main here has commits that {self._origin} lacks, so it stays at {ours[:12]}:"
                    f" git log {ORIGIN_MAIN}..main shows them. Bring them to the origin, or move"
                    f" main to {theirs[:12]} by hand"
                ),
            )
            return
        self._accept(ours, theirs)
        try:
            self._repository.update_ref(MAIN, expected=ours, new=theirs)
        except ConflictError:
            return  # somebody was faster; the next look sees what is there then
        self._say(following=True, reason="Origin", message=f"as {self._origin}")
        self._notice()

    def _accept(self, old: str | None, new: str) -> None:
        """Into the audit, before the ref moves."""
        entry = {"old": old, "new": new, "how": "origin"}
        with self._database.begin() as connection:
            audit.put(
                connection,
                [
                    AuditEntry(
                        kind=ACCEPTED, actor=OPERATOR.id, at=utc_now(), subject=MAIN, entry=entry
                    )
                ],
            )

    def _say(self, *, following: bool, reason: str, message: str) -> None:
        if not following:
            _log.warning("%s", message)
        condition = Condition("Following", following, reason, message, utc_now())
        with self._database.begin() as connection:
            desired.set_condition(connection, condition)
