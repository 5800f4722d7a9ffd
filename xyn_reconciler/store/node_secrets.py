"""The secrets of a node as one process has them: resolved by reference, and told to the redactor.

Variables and age files behind one door. :meth:`NodeSecrets.refresh` opens what changed and
tells the redactor, so that a value is known to every process before anybody can use it;
:meth:`NodeSecrets.follow` does so whenever a revision is applied.

The trap: a value that was once known is redacted until the process ends, for what was
written with it is still on its way.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.store.age_files import Sealed, SecretPathError, SecretUnreadableError
from xyn_reconciler.store.age_secrets import AgeSecrets
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.notice import APPLIED
from xyn_reconciler.store.secret_store import ENV, EnvSecrets, SecretStore

_LOOK_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class NodeSecrets:
    """One per process; safe from any thread."""

    def __init__(
        self, database: Database, key: Path, environment: Mapping[str, str], redactor: Redactor
    ) -> None:
        """``key`` is the home's key file, which may not be there."""
        self._database = database
        self._env = EnvSecrets(environment)
        self._age = AgeSecrets(database, key)
        self._redactor = redactor
        self._learning = threading.Lock()

    def resolve(self, reference: str) -> str | None:
        """Give a value; None where there is none.

        Raises ``SecretUnreadableError`` and ``SecretPathError`` for one that is there and
        cannot be had.
        """
        store: SecretStore = self._env if reference.startswith(ENV) else self._age
        value = store.get_secret(reference)
        if value is not None:
            self._learn([value])
        return value

    def find(self, reference: str) -> str | None:
        """As :meth:`resolve`; None as well for one that is there and cannot be had."""
        try:
            return self.resolve(reference)
        except (SecretUnreadableError, SecretPathError):
            return None

    def refresh(self) -> None:
        """Open what changed since the last time, and tell the redactor."""
        self._learn(self._age.refresh())

    def knowing(self) -> Callable[[bytes], bool]:
        """Open what changed, and give what says whether bytes hold a value."""
        self.refresh()
        return self._redactor.knows

    def any(self) -> bool:
        """Whether there are files of secrets at all."""
        return bool(self._age.list_secrets())

    def unreadable(self) -> dict[str, str]:
        """Reference to reason of what is active and cannot be opened here."""
        return self._age.unreadable()

    def sealed(self, reference: str) -> Sealed | None:
        """Give what is known of a file that was opened: when it was made, and for whom."""
        return self._age.sealed(reference)

    def check(self, files: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Give what is wrong with (reference, ciphertext) that are to become active, in words.

        What opens is known to the redactor of this process from here on.
        """
        values, wrong = self._age.try_open(files)
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
            except Exception:  # noqa: BLE001 - who looks no more redacts no new value
                _log.exception("secrets could not be looked at: again soon")

    def _learn(self, values: Iterable[str]) -> None:
        with self._learning:
            self._redactor.learn(values)
