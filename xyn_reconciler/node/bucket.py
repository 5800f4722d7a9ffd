"""Which shelf the artifacts of this node are on: the home's folder, or a bucket (``artifacts.s3``).

Asked at the first use and not when a process starts: the very first start knows the
node's settings only once a revision is applied. What was found then stays until
the process ends; artifacts do not move by themselves.
"""

from collections.abc import Callable, Mapping
from typing import Any

from xyn_reconciler.store import desired
from xyn_reconciler.store.artifact_shelf import Shelf, ShelfAwayError
from xyn_reconciler.store.database import Database


class Bucket:
    """Gives the node's bucket as a shelf; ``None`` where artifacts are in the home's folder."""

    def __init__(self, database: Database, secret: Callable[[str], str | None]) -> None:
        self._database = database
        self._secret = secret
        self._found: tuple[Shelf | None] | None = None

    def __call__(self) -> Shelf | None:
        """Raises ``ShelfAwayError`` where it cannot be opened."""
        if self._found is None:
            with self._database.read() as connection:
                node = desired.read_node(connection)
            if not node.settings:
                return None  # no revision says anything yet
            settings = node.settings.get("artifacts", {}).get("s3")
            self._found = (None if settings is None else self._open(settings, node.node_id),)
        return self._found[0]

    def _open(self, settings: Mapping[str, Any], node_id: str) -> Shelf:
        try:
            from xyn_reconciler.store.artifact_s3 import S3Shelf  # noqa: PLC0415 - the extra s3
        except ImportError as error:
            raise ShelfAwayError(
                "artifacts.s3 in node.yaml needs the extra s3: install xyn[s3] for this node"
            ) from error
        return S3Shelf(settings, node_id=node_id, secret=self._secret)
