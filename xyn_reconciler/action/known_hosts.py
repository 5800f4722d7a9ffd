"""Which keys a host may show: ``known_hosts`` as OpenSSH writes it, and the answer to any other.

Relied on by ``ssh.run``. The trap: paramiko drops ``@revoked`` lines silently,
so a revoked key that is also listed would be taken; here it is refused.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHClient
from paramiko.hostkeys import HostKeyEntry

from xyn_reconciler.model.errors import PermanentError

FILES: Final = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


WHERE: Final = "known_hosts in the state repository"


def read_files() -> str:
    """Give what this machine knows, its user's file first."""
    texts = []
    for name in FILES:
        with contextlib.suppress(OSError):
            texts.append(Path(name).expanduser().read_text(errors="replace"))
    return "\n".join(texts)


class KnownHosts:
    """The lines of one text; raises ``PermanentError`` (``invalid_known_hosts``) for bad ones."""

    def __init__(self, text: str, *, strict: bool) -> None:
        """``strict`` refuses a line that is no entry, which in a machine's own file is left out."""
        self._keys = HostKeys()
        self._revoked: set[str] = set()
        for number, line in enumerate(text.splitlines(), 1):
            marker, rest = _split(line.strip())
            if marker is None:
                continue
            entry = _entry(rest)
            if entry is None:
                if strict:
                    message = f"line {number} of known_hosts is no entry"
                    raise PermanentError("invalid_known_hosts", message)
            elif marker == "@revoked":
                self._revoked.add(entry.key.fingerprint)
            elif not marker:
                for name in entry.hostnames:
                    self._keys.add(name, entry.key.get_name(), entry.key)

    def apply(self, client: SSHClient) -> None:
        """Have a client accept these keys and no others."""
        for name, keys in _items(self._keys):
            for kind, key in keys:
                if key.fingerprint not in self._revoked:
                    client.get_host_keys().add(name, kind, key)
        client.set_missing_host_key_policy(_Refuse())


def _items(keys: HostKeys) -> Iterator[tuple[str, list[tuple[str, PKey]]]]:
    for name in keys.keys():  # noqa: SIM118 - no dict: iterating it looks every name up
        found = keys.lookup(name)
        if found is not None:
            yield name, [(kind, found[kind]) for kind in found.keys()]  # noqa: SIM118 - likewise


def _split(line: str) -> tuple[str | None, str]:
    """Give a line's marker (empty for most) and the rest; ``None`` for no entry at all."""
    if not line or line.startswith("#"):
        return None, ""
    if line.startswith("@"):
        marker, _, rest = line.partition(" ")
        return marker, rest.strip()
    return "", line


def _entry(line: str) -> Any:  # noqa: ANN401 - paramiko has no types
    try:
        return HostKeyEntry.from_line(" ".join(line.split()))
    except Exception:  # noqa: BLE001 - paramiko's keys break in many ways on bytes that are none
        return None


def changed(host: str, shown: PKey, expected: Iterable[PKey]) -> PermanentError:
    """The refusal of a key that is not the known one."""
    known = ", ".join(key.fingerprint for key in expected)
    return PermanentError(
        "host_key_changed",
        f"{host} shows the key {shown.fingerprint} ({shown.get_name()}), known is {known}:"
        f" somebody may be in between. If the host was made anew, change its line in {WHERE}",
        details={"host": host, "fingerprint": shown.fingerprint, "expected": known},
    )


class _Refuse(MissingHostKeyPolicy):
    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        # Known by keys of other kinds alone: another key all the same.
        others = client.get_host_keys().lookup(hostname)
        if others:
            raise changed(hostname, key, others.values())
        line = f"{hostname} {key.get_name()} {key.get_base64()}"
        raise PermanentError(
            "host_key_unknown",
            f"{hostname} is not known; it shows the key {key.fingerprint}"
            f" ({key.get_name()}). Compare it on the host, then add to {WHERE} the line: {line}",
            details={"host": hostname, "fingerprint": key.fingerprint, "add": line},
        )
