"""Ids as people type them: whole, or an end of a recent one: pages show the last characters."""

import uuid

from xyn_reconciler.cli.client import Client
from xyn_reconciler.model.errors import ConflictError, NotFoundError

_SHORTEST = 4
_RECENT = 200


def find_id(client: Client, collection: str, field: str, text: str) -> str:
    """Give the whole id; of the newest 200, its first or last characters will do, four or more."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    noun = collection.removesuffix("s")
    if len(text) < _SHORTEST:
        raise NotFoundError(f"no {noun} {text!r}; xynctl {noun} list shows the ids")
    found = {
        str(row[field])
        for row in client.items(f"/{collection}", limit=_RECENT)
        if text.lower() in (str(row[field])[: len(text)], str(row[field])[-len(text) :])
    }
    if not found:
        raise NotFoundError(f"no {noun} {text!r}; xynctl {noun} list shows the ids")
    if len(found) > 1:
        raise ConflictError(
            f"{text!r} begins or ends the ids of {len(found)} {collection}; type more of it"
        )
    return found.pop()
