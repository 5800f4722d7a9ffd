"""The age files that are active: rows of ``documents`` (kind ``secret``), opened by the home's key.

Rows, so that a worker on another machine finds them too. What was opened is kept in
memory, by the blob that it came of, and nowhere else.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import InvalidError, XynError
from xyn_reconciler.model.secret import is_path
from xyn_reconciler.store import desired
from xyn_reconciler.store.age_files import Sealed, open_sealed, read_key
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.desired import Document

KIND: Final = "secret"


class AgeSecrets:
    """A :class:`~.secret_store.SecretStore` of ciphertext; safe from any thread."""

    def __init__(self, database: Database, key: Path) -> None:
        """``key`` is the home's key file, which may not be there."""
        self._database = database
        self._key = key
        self._opened: dict[str, tuple[str, Sealed | XynError]] = {}
        self._sequence: int | None = None
        self._lock = threading.Lock()

    def put_secret(self, path: str, value: str) -> None:  # noqa: ARG002 - nothing takes it
        raise InvalidError(f"{path} is a file on main, and a commit: xynctl secret set {path}")

    def delete_secret(self, path: str) -> None:
        raise InvalidError(f"{path} is a file on main, and a commit: xynctl secret rm {path}")

    def get_secret(self, path: str) -> str | None:
        """Raises ``SecretUnreadableError`` and ``SecretPathError``."""
        if not is_path(path):
            return None
        with self._database.read() as connection:
            document = desired.find_document(connection, KIND, path)
        if document is None:
            return None
        with self._lock:
            found = self._open(document)
        if isinstance(found, XynError):
            raise found
        return found.value

    def list_secrets(self, prefix: str = "") -> list[str]:
        """Those that were there at the last refresh, also those that stay shut."""
        with self._lock:
            return sorted(path for path in self._opened if path.startswith(prefix))

    def refresh(self) -> list[str]:
        """Open what changed since the last time; every value that can be had."""
        with self._lock:
            with self._database.read() as connection:
                changed = desired.documents(connection, since=self._sequence, kinds=(KIND,))
            for document in changed:
                if document.active:
                    self._open(document)
                else:
                    self._opened.pop(document.document_id, None)
                self._sequence = max(self._sequence or 0, document.sequence)
            return [each.value for _, each in self._opened.values() if isinstance(each, Sealed)]

    def unreadable(self) -> dict[str, str]:
        """Reference to reason of what is active and cannot be opened here."""
        with self._lock:
            return {
                path: each.message
                for path, (_, each) in sorted(self._opened.items())
                if isinstance(each, XynError)
            }

    def sealed(self, path: str) -> Sealed | None:
        """Give what is known of a file that was opened: when it was made, and for whom."""
        with self._lock:
            found = self._opened.get(path)
        return found[1] if found is not None and isinstance(found[1], Sealed) else None

    def try_open(self, files: Iterable[tuple[str, str]]) -> tuple[list[str], dict[str, str]]:
        """Give the values of (path, ciphertext), and what is wrong with the others, in words."""
        values, wrong = list[str](), {}
        for path, ciphertext in files:
            try:
                values.append(open_sealed(path, ciphertext, self._keys()).value)
            except XynError as error:
                wrong[path] = error.message
        return values, wrong

    def _open(self, document: Document) -> Sealed | XynError:
        """Open a file, once; the caller holds the lock."""
        known = self._opened.get(document.document_id)
        if known is not None and known[0] == document.blob_id:
            return known[1]
        found: Sealed | XynError
        try:
            found = open_sealed(document.document_id, document.document["ciphertext"], self._keys())
        except XynError as error:
            found = error
        self._opened[document.document_id] = (document.blob_id, found)
        return found

    def _keys(self) -> list[str]:
        key = read_key(self._key)
        return [] if key is None else [key]
