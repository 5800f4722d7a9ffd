"""Secrets by name: what a reference is, where its file stands, whose it is (seed 26.4, 26.7)."""

import re
import uuid
from dataclasses import dataclass
from typing import Final, Literal

from xyn_reconciler.model.document import SECRET_REF

FOLDER: Final = "secrets/"
ENDING: Final = ".age"
MAX_VALUE_BYTES: Final = 64 * 1024
"""Of one value, in UTF-8: keys and certificates are a twentieth of it."""

Owner = Literal["env", "sys", "team", "user"]

_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.@-]*"
_PATHS: Final = re.compile(
    rf"(?P<sys>sys)/(?P<env_id>{_PART})(?:/{_PART})+"
    rf"|(?P<owner>team|user)/(?P<id>{_PART})/{_PART}(?:/{_PART})*"
)
_REFERENCE: Final = re.compile(SECRET_REF)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose a secret is: ``id`` is the environment's, the team's or the principal's."""

    owner: Owner
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """One step that wants a value (seed 27.3)."""

    reference: str
    actor: str
    """Who caused the run."""
    by_hand: bool
    """Whether the actor started it, and no event did."""
    run_id: uuid.UUID
    step: str
    action: str
    attempt: int


def scope_of(reference: str) -> Scope | None:
    """Read whose a reference is; None for one that no store here can hold."""
    if reference.startswith("env/"):
        return Scope("env") if _REFERENCE.fullmatch(reference) else None
    found = _PATHS.fullmatch(reference)
    if found is None or _REFERENCE.fullmatch(reference) is None:
        return None
    if found["sys"]:
        return Scope("sys", found["env_id"])
    return Scope("team" if found["owner"] == "team" else "user", found["id"])


def is_path(reference: str) -> bool:
    """Whether it is the path of a file below ``secrets/``, and no variable."""
    scope = scope_of(reference)
    return scope is not None and scope.owner != "env"


def secret_at(path: str) -> str | None:
    """Give the reference of the file at a path of the repository; None where none can be."""
    name = path.removeprefix(FOLDER).removesuffix(ENDING)
    return name if path == file_of(name) and is_path(name) else None


def file_of(reference: str) -> str:
    """Give the path of the file of a reference."""
    return f"{FOLDER}{reference}{ENDING}"
