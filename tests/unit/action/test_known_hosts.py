"""``known_hosts`` as OpenSSH writes it."""

import base64
import hashlib
import hmac

import pytest
from paramiko import ECDSAKey, PKey, SSHClient

from xyn_reconciler.action.known_hosts import KnownHosts
from xyn_reconciler.model.errors import PermanentError

KEY: PKey = ECDSAKey.generate()
OTHER: PKey = ECDSAKey.generate()


def line(names: str, key: PKey = KEY) -> str:
    return f"{names} {key.get_name()} {key.get_base64()} a comment"


def known_keys(text: str, host: str) -> list[str]:
    client = SSHClient()
    KnownHosts(text, strict=True).apply(client)
    found = client.get_host_keys().lookup(host)
    return [] if found is None else [key.fingerprint for key in found.values()]


def hashed(host: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    "text", [line("web-1,10.0.0.1"), f"# hosts\n\n  {line('web-1')}  ", line(hashed("web-1"))]
)
def test_a_host_is_found_by_its_name_or_its_hash(text: str) -> None:
    assert known_keys(text, "web-1") == [KEY.fingerprint]
    assert known_keys(text, "web-2") == []


def test_a_key_that_is_also_revoked_is_not_known() -> None:
    both = f"{line('web-1')}\n@revoked {line('*')}"

    assert known_keys(both, "web-1") == []
    assert known_keys(f"{both}\n{line('web-2', OTHER)}", "web-2") == [OTHER.fingerprint]


@pytest.mark.parametrize("text", ["web-1", "web-1 ssh-ed25519 AAAA", "web-1 no-such-key AAAA"])
def test_a_line_that_is_no_entry_is_refused_where_somebody_wrote_it_for_this(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        KnownHosts(f"\n{text}", strict=True)

    assert caught.value.failure_code == "invalid_known_hosts"
    assert "line 2" in caught.value.message
    KnownHosts(text, strict=False)
