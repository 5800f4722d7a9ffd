"""``known_hosts``: the keys that hosts may show to ``ssh.run``, as OpenSSH writes them.

A line that would be read and never matched is a problem here: certificate authorities and
patterns, which the ssh client of a run does not know. Found on push, and not by the first
login that fails in the night.
"""

import base64
import binascii
from typing import Final

from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.text_file import read_text
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.errors import Problem

MAX_BYTES: Final = 256 * 1024

KEYS: Final = (
    *("ssh-ed25519", "ssh-rsa"),
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
)
"""The kinds of keys that a run can compare."""

REVOKED: Final = "@revoked"


def load_known_hosts(path: str, blob_id: str, data: bytes) -> Loaded:
    """Read the file; its document is ``{"text": ...}``."""
    text, problems = read_text(path, data, MAX_BYTES)
    for number, line in enumerate((text or "").splitlines(), 1):
        wrong = _wrong(line.strip())
        if wrong is not None:
            problems.append(Problem(path, number, 1, "bad_value", wrong))
    document = None if problems else {"text": text}
    return Loaded(path, blob_id, "known_hosts", path, document, tuple(problems))


def _wrong(line: str) -> str | None:
    """Say what is wrong with one line; None for one that is read, or empty."""
    if not line or line.startswith("#"):
        return None
    fields = line.split()
    if fields[0].startswith("@"):
        if fields[0] != REVOKED:
            return f"{quoted(fields[0])} is not read here: name the key of each host"
        fields = fields[1:]
    if len(fields) < 3:  # noqa: PLR2004 - names, kind and key
        return "a line has the host, the kind of its key, and the key: see ssh-keyscan"
    names, kind, key, *_ = fields
    if not names.startswith("|1|") and any(mark in names for mark in "*?!"):
        return "patterns of hosts are not read here: name each host"
    if kind not in KEYS:
        return f"no key of the kind {quoted(kind)} is read here{did_you_mean(kind, KEYS)}"
    return None if _is_key(kind, key) else f"this is no key of the kind {kind}"


def _is_key(kind: str, key: str) -> bool:
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    name = kind.encode()
    return data.startswith(len(name).to_bytes(4, "big") + name) and len(data) > len(name) + 8
