"""The secrets of a node as one process has them: resolved by reference, and told to the redactor.

Variables and age files behind one door. Age files are rows of ``documents`` (kind
``secret``), so a worker on another machine finds them too; what opens them is the home's
``age.key``. :meth:`NodeSecrets.refresh` opens what changed and tells the redactor, so that
a value is known to every process before anybody can use it; :meth:`NodeSecrets.follow`
does so whenever a revision is applied. A value that was once known is redacted until the
process ends.

The trap: values are kept in memory, by the blob that they came of, and nowhere else.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import UnavailableError, XynError
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.secret import is_path
from xyn_reconciler.store import desired
from xyn_reconciler.store.age_files import Sealed, open_sealed, read_key
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.desired import Document
from xyn_reconciler.store.notice import APPLIED
from xyn_reconciler.store.secret_store import ENV, EnvSecrets

KIND: Final = "secret"
_LOOK_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class NodeSecrets:
    """One per process; safe from any thread."""

    def __init__(
        self, database: Database, key: Path, environment: Mapping[str, str], redactor: Redactor
    ) -> None:
        """``key`` is the home's key file, which may not be there."""
        self._database = database
        self._key = key
        self._env = EnvSecrets(environment)
        self._redactor = redactor
        self._opened: dict[str, tuple[str, Sealed | XynError]] = {}
        self._sequence: int | None = None
        self._lock = threading.Lock()
        self._learning = threading.Lock()

    def resolve(self, reference: str) -> str | None:
        """Give a value; None where there is none.

        Raises ``SecretUnreadableError`` and ``SecretPathError`` for one that is there and
        cannot be had.
        """
        if reference.startswith(ENV):
            value = self._env.get_secret(reference)
            if value is not None:
                self._learn([value])
            return value
        if not is_path(reference):
            return None
        with self._database.read() as connection:
            document = desired.find_document(connection, KIND, reference)
        if document is None:
            return None
        with self._lock:
            found = self._open(document)
        if isinstance(found, XynError):
            raise found
        self._learn([found.value])
        return found.value

    def refresh(self) -> None:
        """Open what changed since the last time, and tell the redactor."""
        with self._lock:
            with self._database.read() as connection:
                changed = desired.documents(connection, since=self._sequence, kinds=(KIND,))
            for document in changed:
                if document.active:
                    self._open(document)
                else:
                    self._opened.pop(document.document_id, None)
                self._sequence = max(self._sequence or 0, document.sequence)
            live = [each.value for _, each in self._opened.values() if isinstance(each, Sealed)]
        self._learn(live)

    def any(self) -> bool:
        """Whether there are files of secrets at all."""
        return bool(self._opened)

    def unreadable(self) -> dict[str, str]:
        """Reference to reason of what is active and cannot be opened here."""
        with self._lock:
            return {
                path: each.message
                for path, (_, each) in sorted(self._opened.items())
                if isinstance(each, XynError)
            }

    def sealed(self, reference: str) -> Sealed | None:
        """Give what is known of a file that was opened: when it was made, and for whom."""
        with self._lock:
            found = self._opened.get(reference)
        return found[1] if found is not None and isinstance(found[1], Sealed) else None

    def check(self, files: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Give what is wrong with (reference, ciphertext) that are to become active, in words.

        What opens is known to the redactor of this process from here on.
        """
        wrong, values = {}, list[str]()
        for reference, ciphertext in files:
            try:
                values.append(open_sealed(reference, ciphertext, self._keys()).value)
            except XynError as error:
                wrong[reference] = error.message
        # Together: the redactor is made anew each time that it learns.
        self._learn(values)
        return wrong

    def follow(self, after: Callable[[], None] = lambda: None) -> None:
        """Refresh now, and whenever a revision is applied, in a thread that ends with the process.

        ``after`` is called after each look.
        """
        threading.Thread(target=self._follow, args=(after,), name="secrets", daemon=True).start()

    def _follow(self, after: Callable[[], None]) -> None:
        for _ in self._database.listen([APPLIED], timeout=_LOOK_SECONDS):
            try:
                self.refresh()
                after()
            except UnavailableError as error:
                _log.warning("secrets are looked at again once it is there: %s", error.message)

    def _learn(self, values: Iterable[str]) -> None:
        with self._learning:
            self._redactor.learn(values)

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
