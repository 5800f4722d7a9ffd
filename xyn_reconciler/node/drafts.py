"""Bind ``drafts.save`` to the reviews of the node that the worker belongs to."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xyn_reconciler.node.engine import Engine

if TYPE_CHECKING:
    from xyn_reconciler.service.context import Context


class Drafts:
    """Saves drafts; the repository is opened by the first of them (a worker is to be small)."""

    def __init__(self, engine: Engine, url: str) -> None:
        """``url`` is where the node answers."""
        self._engine = engine
        self._url = url
        self._context: Context | None = None

    def save(
        self,
        *,
        name: str,
        kind: str,
        definition: str | Mapping[str, Any],
        notes: str | None,
        run_id: uuid.UUID,
    ) -> tuple[uuid.UUID, int]:
        """As :class:`~xyn_reconciler.model.capability.SaveDraft` says."""
        from xyn_reconciler.node.context import context_of  # noqa: PLC0415 - see above
        from xyn_reconciler.service.reviews import save_draft_of_run  # noqa: PLC0415 - see above

        if self._context is None:
            self._context = context_of(self._engine, self._url)
        content = {"definition": definition, "notes": notes}
        request = {"name": name, "kind": kind, "content": content}
        return save_draft_of_run(self._context, request, run_id)
