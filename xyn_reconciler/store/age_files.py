"""Age files: values encrypted to the nodes of a repository, and opened with this one's key.

What is encrypted is JSON, ``{"path", "value", "recipients", "created_at"}``: the path, so
that a file which was copied over another is refused, and the recipients, because an age
file does not tell who can open it. The ``age`` command opens the same files, and prints
that JSON.

The trap: ``pyrage`` is imported where it is used alone. A node without such secrets, and
every idle worker, does without it.
"""

import datetime as dt
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from xyn_reconciler.model.errors import InvalidError, UnavailableError, XynError
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.secret import MAX_VALUE_BYTES, is_path


class SecretUnreadableError(XynError):
    """An age file that this key does not open, or that holds none of our values."""

    code: ClassVar[str] = "secret_unreadable"


class SecretPathError(XynError):
    """A file that says it is another one: it was copied, and is not what was agreed on."""

    code: ClassVar[str] = "secret_path_mismatch"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What stands in a file, opened. Its ``repr`` does not show the value."""

    path: str
    value: str
    recipients: tuple[str, ...]
    """Whom it was encrypted to, as whoever encrypted it says."""
    created_at: dt.datetime | None

    def __repr__(self) -> str:
        return f"Sealed({self.path!r})"


def new_key() -> tuple[str, str]:
    """Make a key; its text, which is the secret, and the recipient that belongs to it."""
    from pyrage import x25519  # noqa: PLC0415 - as the module says

    key = x25519.Identity.generate()
    return str(key), str(key.to_public())


def recipient_of(key: str) -> str:
    """Give the recipient of a key's text (``InvalidError`` where it is none)."""
    return str(_identity(key).to_public())


def read_key(file: Path) -> str | None:
    """Give the key in a file as ``age-keygen`` writes it; None where there is no file."""
    try:
        lines = file.read_text(encoding="ascii").split("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"the key {file} cannot be read") from error
    found = next((line.strip() for line in lines if line.startswith("AGE-SECRET-KEY-")), None)
    if found is None:
        raise InvalidError(f"{file} holds no age key: a line that begins with AGE-SECRET-KEY-1")
    return found


def seal(path: str, value: str, recipients: Collection[str], now: dt.datetime) -> str:
    """Encrypt a value for the file of a path; armored text.

    ``InvalidError`` for a path that cannot be, a value that is empty or too long, and where
    there is nobody to encrypt it to.
    """
    if not is_path(path):
        raise InvalidError(
            f"{path!r} is no path of a secret: sys/<env_id>/<kind>/<name>, team/<team_id>/<name>"
            " or user/<principal_id>/<name>"
        )
    if not _fits(value):
        raise InvalidError(f"a secret has 1 to {MAX_VALUE_BYTES:,} bytes")
    if not recipients:
        raise InvalidError("no node has a recipient yet, so nobody could open it: xynctl up first")
    from pyrage import encrypt  # noqa: PLC0415 - as the module says

    whom = sorted(set(recipients))
    plain = {"path": path, "value": value, "recipients": whom, "created_at": isoformat(now)}
    data = json.dumps(plain).encode()
    sealed: bytes = encrypt(data, [_recipient(each) for each in whom], armored=True)
    return sealed.decode("ascii")


def open_sealed(path: str, ciphertext: str, keys: Sequence[str]) -> Sealed:
    """Open the file of a path with any of these keys.

    Raises :class:`SecretUnreadableError`, and :class:`SecretPathError` for the file of
    another path.
    """
    from pyrage import DecryptError, decrypt  # noqa: PLC0415 - as the module says

    try:
        data = decrypt(ciphertext.encode("ascii"), [_identity(key) for key in keys])
        plain = json.loads(data)
        found = Sealed(
            str(plain["path"]),
            _text(plain["value"]),
            tuple(map(str, plain.get("recipients") or ())),
            _time(plain.get("created_at")),
        )
    except DecryptError as error:
        raise SecretUnreadableError(
            f"secret {path} is not encrypted to this node, or damaged: xynctl secret rekey, on"
            " a node that opens it"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Not chained: the cause would carry what was decrypted.
        raise SecretUnreadableError(
            f"secret {path} opens, and holds no value of Xyn: set it anew with xynctl secret set"
        ) from None
    if found.path != path:
        raise SecretPathError(
            f"the file of secret {path} is that of {found.path}, copied: set {path} anew"
        )
    return found


def _identity(key: str) -> Any:  # noqa: ANN401 - an x25519.Identity, which has no types
    from pyrage import IdentityError, x25519  # noqa: PLC0415 - as the module says

    try:
        return x25519.Identity.from_str(key)
    except IdentityError as error:
        raise InvalidError("this is no age key: AGE-SECRET-KEY-1...") from error


def _recipient(text: str) -> Any:  # noqa: ANN401 - an x25519.Recipient, which has no types
    from pyrage import RecipientError, x25519  # noqa: PLC0415 - as the module says

    try:
        return x25519.Recipient.from_str(text)
    except RecipientError as error:
        raise InvalidError(f"{text} is no recipient of age: age1...") from error


def _text(value: Any) -> str:  # noqa: ANN401 - what somebody encrypted
    if not isinstance(value, str) or not _fits(value):
        raise TypeError
    return value


def _fits(value: str) -> bool:
    return 0 < len(value.encode()) <= MAX_VALUE_BYTES


def _time(value: Any) -> dt.datetime | None:  # noqa: ANN401 - what somebody encrypted
    return None if value is None else dt.datetime.fromisoformat(value)
