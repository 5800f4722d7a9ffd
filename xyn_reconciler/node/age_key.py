"""The home's age key: made once, never anywhere but in the home, and known by its recipient.

Whoever has the file opens every secret that was encrypted to this node. A home that has
none is given one; what was encrypted before cannot be opened with it, until
``xynctl secret rekey`` on a node that can.
"""

import datetime as dt

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.node.home import Home, write_private
from xyn_reconciler.store.age_files import new_key, read_key, recipient_of


def ensure_age_key(home: Home) -> tuple[str, bool]:
    """Give the home's recipient, and whether its key was made just now."""
    key = read_key(home.age_key)
    if key is not None:
        return recipient_of(key), False
    key, recipient = new_key()
    text = f"# created: {isoformat(dt.datetime.now(dt.UTC))}\n# public key: {recipient}\n{key}\n"
    write_private(home.age_key, text)
    return recipient, True
