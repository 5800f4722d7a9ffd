"""What the actions of :mod:`.pack_data` are lent: packs as they are active, and the database."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from xyn_reconciler.store.database import Database


@dataclass(frozen=True, slots=True)
class ActivePack:
    """A pack as it is active: ``pack.yaml``, and its plain files by path below its folder."""

    definition: Mapping[str, Any]
    files: Mapping[str, str]


class Lent(Protocol):
    """What ``node`` lends."""

    @property
    def database(self) -> "Database": ...

    def pack(self, pack_id: str) -> ActivePack | None:
        """Give a pack that is active; None where none of that name is."""
        ...

    def now(self) -> dt.datetime: ...
