"""Say which secrets this node cannot open, and why: the condition ``SecretsReadable``.

A home that was cloned has a key that nobody encrypted to yet, and a home from before
there were such files has a key that no definition names. Both are told, with the command
that mends it, by the node process after each applied revision.
"""

import datetime as dt
import logging

from xyn_reconciler.model.condition import Condition
from xyn_reconciler.node.age_key import ensure_age_key
from xyn_reconciler.node.home import Home
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.node_secrets import NodeSecrets

SHOWN = 20

_log = logging.getLogger(__name__)


def tell_readable(home: Home, database: Database, secrets: NodeSecrets, now: dt.datetime) -> None:
    """Put the condition as things are; one that was never false is not there."""
    with database.begin() as connection:
        node = desired.read_node(connection)
        known = any(each.type == "SecretsReadable" for each in node.conditions)
        if not (secrets.any() or known):
            return
        recipient, _ = ensure_age_key(home)
        trouble = _trouble(recipient, node.settings.get("recipient"), secrets)
        if trouble is None and not known:
            return
        reason, message = trouble or ("Readable", "every secret can be opened here")
        condition = Condition("SecretsReadable", trouble is None, reason, message, now)
        if condition.message not in {c.message for c in node.conditions}:
            _log.info("secrets: %s", message)
        desired.set_condition(connection, condition)


def _trouble(recipient: str, named: str | None, secrets: NodeSecrets) -> tuple[str, str] | None:
    unreadable = secrets.unreadable()
    if unreadable:
        names = ", ".join(list(unreadable)[:SHOWN])
        more = f" and {len(unreadable) - SHOWN} more" if len(unreadable) > SHOWN else ""
        way = (
            f"put recipient: {recipient} into this node's definition, then"
            if named != recipient
            else "on a node that opens them:"
        )
        s = "" if len(unreadable) == 1 else "s"
        return "NotEncryptedHere", (
            f"{len(unreadable)} secret{s} cannot be opened here: {names}{more};"
            f" {way} xynctl secret rekey"
        )
    if secrets.any() and named != recipient:
        return "NoRecipient", (
            f"new secrets are not encrypted to this node: put recipient: {recipient} into its"
            " definition, then xynctl secret rekey"
        )
    return None
