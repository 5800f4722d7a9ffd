"""How a connection is secured: whom it trusts, and what it shows of itself.

What is proved to one server is not proved to another: the client's certificate,
the name asked for and an unchecked certificate hold for the request's own origin
alone, trusted authorities and the least version for redirects too.
"""

import datetime as dt
import functools
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx2

from xyn_reconciler.action.memory_file import memory_file
from xyn_reconciler.model.errors import PermanentError

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@functools.lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The trusted authorities; made once, since reading them takes tens of milliseconds."""
    return httpx2.create_ssl_context(trust_env=False)


def shown(certificate: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a certificate says, as ``SSLSocket.getpeercert`` gives it."""

    def moment(key: str) -> str:
        seconds = ssl.cert_time_to_seconds(certificate[key])
        return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()

    def named(key: str) -> str:
        return ", ".join(f"{name}={value}" for part in certificate[key] for name, value in part)

    return {
        "subject": named("subject"),
        "issuer": named("issuer"),
        "names": [value for _, value in certificate.get("subjectAltName", ())],
        "not_before": moment("notBefore"),
        "not_after": moment("notAfter"),
    }


@dataclass(frozen=True, slots=True)
class Tls:
    """The ``tls`` of a request."""

    ca: str | None = None
    """PEM of the authorities that are trusted instead of the public ones."""
    certificate: str | None = None
    """PEM of what the client shows of itself, with its key."""
    server_name: str | None = None
    min_version: str = "1.2"
    verify: bool = True

    @classmethod
    def of(cls, options: Mapping[str, Any], secret: Callable[[str], str]) -> "Tls":
        """Read the input; ``secret`` resolves a reference, or raises."""
        shown = [name for name in ("client_cert_ref", "client_key_ref") if name in options]
        return cls(
            ca=options.get("ca"),
            certificate="\n".join(secret(options[name]) for name in shown) or None,
            server_name=options.get("server_name"),
            min_version=str(options.get("min_version", "1.2")),
            verify=options.get("verify", True),
        )

    def elsewhere(self) -> "Tls":
        """What holds for any other origin too."""
        return replace(self, certificate=None, server_name=None, verify=True)

    def context(self) -> ssl.SSLContext:
        """Raises ``PermanentError`` with code ``invalid_inputs`` or ``tls_failed``."""
        if self == Tls(server_name=self.server_name):
            return tls_context()
        context = httpx2.create_ssl_context(trust_env=False) if self.ca is None else _of(self.ca)
        context.minimum_version = _VERSIONS[self.min_version]
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            _show(context, self.certificate)
        return context


def _of(ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # What is not ASCII stands between the certificates, as a name above each.
        context.load_verify_locations(cadata=ca.encode("ascii", "replace").decode())
    except (ssl.SSLError, ValueError) as error:
        raise PermanentError(
            "invalid_inputs", f"tls.ca is no certificate in PEM: {error}"
        ) from error
    return context


def _show(context: ssl.SSLContext, pem: str) -> None:
    try:
        with memory_file(pem) as path:
            # Never asks the terminal for a passphrase: an empty one fails.
            context.load_cert_chain(path, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        # What OpenSSL says of it names no value, and helps nobody.
        raise PermanentError(
            "tls_failed",
            "client_cert_ref is no certificate with its key in PEM, the key unencrypted",
        ) from error
