"""Where secrets are (seed 26.3): one protocol, and the stores of this node.

References are paths; what begins with ``env/`` is a variable of the process, all else a
file below ``secrets/`` on ``main``. Another store (HashiCorp Vault, AWS Secrets Manager)
is another class with these four methods.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store.age_files import open_sealed, seal

ENV: Final = "env/"


class SecretStore(Protocol):
    """Keeps values by path."""

    def put_secret(self, path: str, value: str) -> None:
        """Keep a value, in the place of the one before."""
        ...

    def get_secret(self, path: str) -> str | None:
        """Give a value; None where there is none. Raises where there is one, and it stays shut."""
        ...

    def list_secrets(self, prefix: str = "") -> list[str]:
        """Give the paths that begin so, sorted; never a value."""
        ...

    def delete_secret(self, path: str) -> None:
        """Take a value away; harmless where there is none."""
        ...


class EnvSecrets:
    """Variables of a process, as ``env/NAME``; whoever starts the node sets them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def put_secret(self, path: str, value: str) -> None:  # noqa: ARG002 - nothing takes it
        raise InvalidError(f"{path} is a variable: set it where the node is started")

    def get_secret(self, path: str) -> str | None:
        return self._environment.get(path.removeprefix(ENV)) if path.startswith(ENV) else None

    def list_secrets(self, prefix: str = "") -> list[str]:
        names = (f"{ENV}{name}" for name in self._environment)
        return sorted(name for name in names if name.startswith(prefix))

    def delete_secret(self, path: str) -> None:
        raise InvalidError(f"{path} is a variable: unset it where the node is started")


class SecretFiles(Protocol):
    """Where age files are: the active documents, a checkout, the API of a node."""

    def read(self, path: str) -> str | None:
        """Give the armored text of a secret's file."""
        ...

    def paths(self) -> list[str]: ...

    def write(self, changes: Mapping[str, str | None]) -> None:
        """Put files, and take out those of None, all in one."""
        ...


class AgeSecrets:
    """Age files, encrypted to ``recipients`` and opened with ``keys``."""

    def __init__(
        self,
        files: SecretFiles,
        *,
        keys: Callable[[], list[str]],
        recipients: Callable[[], list[str]],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._files = files
        self._keys = keys
        self._recipients = recipients
        self._clock = clock

    def put_secret(self, path: str, value: str) -> None:
        self._files.write({path: seal(path, value, self._recipients(), self._clock())})

    def get_secret(self, path: str) -> str | None:
        """Raises ``SecretUnreadableError`` and ``SecretPathError``."""
        ciphertext = self._files.read(path)
        return None if ciphertext is None else open_sealed(path, ciphertext, self._keys()).value

    def list_secrets(self, prefix: str = "") -> list[str]:
        return sorted(path for path in self._files.paths() if path.startswith(prefix))

    def delete_secret(self, path: str) -> None:
        self._files.write({path: None})
