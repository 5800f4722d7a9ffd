"""Bind the actions on packs' tables to the node's database and its active packs."""

import datetime as dt

from xyn_reconciler.action.context import Action
from xyn_reconciler.action.pack_data import pack_data_actions
from xyn_reconciler.action.pack_lent import ActivePack
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.node.engine import Engine
from xyn_reconciler.store.database import Database


class Lent:
    """As :class:`xyn_reconciler.action.pack_lent.Lent` says."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def database(self) -> Database:
        return self._engine.database

    def pack(self, pack_id: str) -> ActivePack | None:
        with self._engine.database.read() as connection:
            files = self._engine.intake.view(connection).pack_files.get(pack_id, {})
        definition = next((each for each in files.values() if each.kind == "pack"), None)
        if definition is None:
            return None
        texts = {
            in_pack(path)[1]: each.document["text"]
            for path, each in files.items()
            if each.kind == "pack_file"
        }
        return ActivePack(definition.document, texts)

    def now(self) -> dt.datetime:
        return self._engine.clock()


def pack_actions(engine: Engine) -> list[Action]:
    return pack_data_actions(Lent(engine))
