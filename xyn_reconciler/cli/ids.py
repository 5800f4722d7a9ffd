"""Ids as people type them: whole, or the first characters of a recent one."""

import uuid

from xyn_reconciler.cli.client import Client
from xyn_reconciler.model.errors import ConflictError, NotFoundError

_SHORTEST = 4
_RECENT = 200


def find_id(client: Client, collection: str, field: str, text: str) -> str:
    """Give the whole id, typed in part: four characters or more, of the newest 200."""
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
        if str(row[field]).startswith(text.lower())
    }
    if not found:
        raise NotFoundError(f"no {noun} {text!r}; xynctl {noun} list shows the ids")
    if len(found) > 1:
        raise ConflictError(
            f"{text!r} begins the ids of {len(found)} {collection}; type more of it"
        )
    return found.pop()
