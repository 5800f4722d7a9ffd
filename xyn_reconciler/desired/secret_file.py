"""Files below ``secrets/``: an encrypted value each, whose name in the file is its path.

Pure, and so without a key: that a file is an age file in armor is all that is seen here.
Whether this node can open it, and whether it is the file that it says it is, is asked at
the push and at each use (``store.age_files``).

The trap: whatever else stands here may be a secret in plain text, so no message repeats
any of it, and a draft that holds one is refused too.
"""

import base64
import binascii
import re
from typing import Final

from xyn_reconciler.desired.loaded import START, Loaded, Reference
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.secret import secret_at

MAX_BYTES: Final = 256 * 1024
"""Of one file: 64 KiB of value as JSON in armor, with its recipients."""

NOT_ENCRYPTED: Final = "secret_not_encrypted"

_ARMOR: Final = re.compile(
    rb"\A\s*-----BEGIN AGE ENCRYPTED FILE-----\r?\n"
    rb"([A-Za-z0-9+/=\r\n]+)"
    rb"-----END AGE ENCRYPTED FILE-----\s*\Z"
)
_HEADER: Final = b"age-encryption.org/v1\n-> "


def load_secret(path: str, blob_id: str, data: bytes) -> Loaded:
    """Read one; its document is ``{"ciphertext": ...}``, its id the path that references name."""

    def refused(code: str, message: str) -> Loaded:
        return Loaded(path, blob_id, "secret", path, None, (Problem(path, *START, code, message),))

    name = secret_at(path)
    if not _is_armored(data):
        return refused(
            NOT_ENCRYPTED,
            "this is no age file in armor: make it with xynctl secret set; if it holds a secret,"
            " whoever saw this commit has it, so change the secret",
        )
    if name is None:
        return refused(
            "bad_secret_path",
            "a secret stands in secrets/sys/<env_id>/<...>/<name>.age,"
            " secrets/team/<team_id>/<name>.age or secrets/user/<principal_id>/<name>.age",
        )
    if len(data) > MAX_BYTES:
        return refused("too_large", f"an encrypted secret has at most {MAX_BYTES:,} bytes")
    own = Reference("self", name, *START)
    document = {"ciphertext": data.decode("ascii")}
    return Loaded(path, blob_id, "secret", name, document, references=(own,))


def _is_armored(data: bytes) -> bool:
    found = _ARMOR.match(data)
    if found is None:
        return False
    try:
        return base64.b64decode(b"".join(found[1].split()), validate=True).startswith(_HEADER)
    except binascii.Error:
        return False
