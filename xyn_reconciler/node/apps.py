"""Bind the loop that keeps the apps of packs to this node's packs, secrets and key."""

from collections.abc import Mapping
from typing import Any

from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.node.home import Home
from xyn_reconciler.reconcile.compose import ManagedApps
from xyn_reconciler.service.context import Context
from xyn_reconciler.store.database import Connection


def managed_apps(context: Context, home: Home) -> ManagedApps:
    """Give the loop; it does nothing where ``apps`` of ``node.yaml`` is not enabled."""

    def packs(connection: Connection) -> Mapping[str, tuple[Mapping[str, Any], PlanPack | None]]:
        view = context.intake.view(connection)
        definitions = {
            pack_id: each.document
            for pack_id, files in view.pack_files.items()
            for each in files.values()
            if each.kind == "pack"
        }
        return {
            pack_id: (definition, view.packs.get(pack_id))
            for pack_id, definition in definitions.items()
        }

    return ManagedApps(
        database=context.database,
        packs=packs,
        secret=context.secret,
        # Whoever can read it can read the secrets themselves.
        key=home.age_key.read_bytes() if home.age_key.exists() else b"",
        clean=context.redactor.text,
        clock=context.clock,
    )
