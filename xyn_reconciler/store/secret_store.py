"""Where secrets are (seed 26.3): one protocol, and the variables of a process.

References are paths; what begins with ``env/`` is a variable, all else an age file below
``secrets/`` on ``main`` (:mod:`.age_secrets`). Another store (HashiCorp Vault, AWS Secrets
Manager) is another class with these four methods, and a line in :mod:`.node_secrets`.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from xyn_reconciler.model.errors import InvalidError

ENV: Final = "env/"


class SecretStore(Protocol):
    """Keeps values by path."""

    def put_secret(self, path: str, value: str) -> None:
        """Keep a value, in the place of the one before.

        ``InvalidError`` says how it is done where this process may not.
        """
        ...

    def get_secret(self, path: str) -> str | None:
        """Give a value; None where there is none. Raises where there is one, and it stays shut."""
        ...

    def list_secrets(self, prefix: str = "") -> list[str]:
        """Give the paths that begin so, sorted; never a value."""
        ...

    def delete_secret(self, path: str) -> None:
        """Take a value away; harmless where there is none. Refused as a put is."""
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
