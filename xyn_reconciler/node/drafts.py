"""Bind what steps do with drafts to the reviews of the node that the worker belongs to."""

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xyn_reconciler.node.engine import Engine
from xyn_reconciler.node.managed_git import beside_the_repository

if TYPE_CHECKING:
    from xyn_reconciler.service.context import Context


class Drafts:
    """Opens the repository at the first of them (a worker is to be small)."""

    def __init__(self, engine: Engine, url: str) -> None:
        """``url`` is where the node answers."""
        self._engine = engine
        self._url = url
        self._opened: Context | None = None

    def save(
        self,
        *,
        name: str,
        kind: str,
        definition: str | Mapping[str, Any] | None,
        files: Mapping[str, str],
        notes: str | None,
        run_id: uuid.UUID,
    ) -> tuple[uuid.UUID, int]:
        """As :class:`~xyn_reconciler.model.capability.SaveDraft` says."""
        from xyn_reconciler.service.reviews import save_draft_of_run  # noqa: PLC0415 - see above

        content = {"definition": definition, "files": files, "notes": notes}
        request = {"name": name, "kind": kind, "content": content}
        return save_draft_of_run(self._context(), request, run_id)

    def validate(self, *, draft: str, run_id: uuid.UUID, seconds: float) -> dict[str, Any]:
        """As :class:`~xyn_reconciler.model.capability.ValidateDraft` says."""
        from xyn_reconciler.service.run_drafts import validate_draft_of_run  # noqa: PLC0415 - see above

        return validate_draft_of_run(self._context(), draft=draft, run_id=run_id, seconds=seconds)

    def promote(
        self, *, draft: str, run_id: uuid.UUID, seconds: float
    ) -> tuple[Sequence[str], str]:
        """As :class:`~xyn_reconciler.model.capability.PromoteDraft` says."""
        from xyn_reconciler.service.run_drafts import promote_draft_of_run  # noqa: PLC0415 - see above

        return promote_draft_of_run(self._context(), draft=draft, run_id=run_id, seconds=seconds)

    def _context(self) -> "Context":
        beside_the_repository(self._engine)
        from xyn_reconciler.node.context import context_of  # noqa: PLC0415 - see above

        if self._opened is None:
            self._opened = context_of(self._engine, self._url)
        return self._opened
