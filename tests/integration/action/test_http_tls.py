"""Whom ``http.call`` trusts and what it shows of itself, against a server with a certificate."""

import datetime as dt
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from xyn_reconciler.action.connection import Stream
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.http_call import HttpCall
from xyn_reconciler.action.tls import Tls
from xyn_reconciler.model.errors import PermanentError, StepError


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, in PEM."""

    certificate: str
    key: str
    issuer: "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]"

    @property
    def both(self) -> str:
        return self.certificate + self.key


def identity(
    name: str, issuer: Identity | None = None, hosts: tuple[str, ...] = (), password: bytes = b""
) -> Identity:
    """Make a certificate; without an issuer an authority that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above = (None, key) if issuer is None else issuer.issuer
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if above[0] is None else above[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above[1].public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        for host in hosts
    ]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(above[1], hashes.SHA256())
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
        ).decode(),
        (certificate, key),
    )


CA = identity("Test authority")
SERVER = identity("server", CA, ("127.0.0.1", "inside.example"))
CLIENT = identity("client", CA)
LOCKED = identity("client", CA, password=b"passphrase")
SECRETS = {
    "env/CLIENT": CLIENT.both,
    "env/CERTIFICATE": CLIENT.certificate,
    "env/KEY": CLIENT.key,
    "env/LOCKED": LOCKED.both,
    "env/TOKEN": "t0ken",
}


class Who(http.server.BaseHTTPRequestHandler):
    """Says which certificate the client showed, or redirects to what the path names."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        shown = self.connection.getpeercert()
        where = self.path.partition("?to=")[2]
        body = str(dict(shown or {}).get("subject", "nobody")).encode()
        self.send_response(302 if where else 200)
        if where:
            self.send_header("location", where)
        self.send_header("x-version", self.connection.version() or "")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the library's signature
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A handshake that fails is what is tested."""


@contextmanager
def serving(
    folder: Path,
    *,
    wants: ssl.VerifyMode = ssl.CERT_NONE,
    most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> Iterator[str]:
    (folder / "server.pem").write_text(SERVER.both)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    tls.load_verify_locations(cadata=CA.certificate)
    tls.verify_mode, tls.maximum_version = wants, most
    with Quiet(("127.0.0.1", 0), Who) as httpd:
        httpd.socket = tls.wrap_socket(
            httpd.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
        yield f"https://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("tls"), wants=ssl.CERT_OPTIONAL) as url:
        yield url


@pytest.fixture
def context(attempt: ActionContext) -> ActionContext:
    return replace(attempt, secret=SECRETS.get, egress=("127.0.0.0/8", "::1"))


def call(context: ActionContext, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the action's inputs
    return HttpCall().run(inputs, context)


def code(act: Callable[[], object]) -> str:
    with pytest.raises(StepError) as caught:
        act()
    assert isinstance(caught.value, PermanentError)
    return caught.value.failure_code


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: str, context: ActionContext
) -> None:
    assert code(lambda: call(context, url=server)) == "tls_failed"


def test_an_authority_of_ones_own_is_trusted_instead(server: str, context: ActionContext) -> None:
    other = identity("Another authority").certificate

    named = f"# Autorit\u00e9\n{CA.certificate}"

    assert call(context, url=server, tls={"ca": CA.certificate})["status"] == 200
    assert call(context, url=server, tls={"ca": named})["status"] == 200
    assert code(lambda: call(context, url=server, tls={"ca": other})) == "tls_failed"
    assert code(lambda: call(context, url=server, tls={"ca": "no PEM"})) == "invalid_inputs"


def test_a_certificate_that_was_checked_is_told(server: str, context: ActionContext) -> None:
    told = call(context, url=server, tls={"ca": CA.certificate})["certificate"]

    assert told["names"] == ["127.0.0.1", "inside.example"]
    assert (told["subject"], told["issuer"]) == ("commonName=server", "commonName=Test authority")
    assert told["not_after"] == SERVER.issuer[0].not_valid_after_utc.isoformat()
    assert "certificate" not in call(context, url=server, tls={"verify": False})


def test_a_name_is_checked_against_the_certificate(server: str, context: ActionContext) -> None:
    by_name = server.replace("127.0.0.1", "localhost")
    asked = {"ca": CA.certificate, "server_name": "inside.example"}

    assert code(lambda: call(context, url=by_name, tls={"ca": CA.certificate})) == "tls_failed"
    assert call(context, url=by_name, tls=asked)["status"] == 200
    assert (
        code(lambda: call(context, url=server, tls=asked | {"server_name": "other.example"}))
        == "tls_failed"
    )


def test_an_unchecked_certificate_is_taken_where_egress_names_the_address(
    server: str, context: ActionContext
) -> None:
    assert call(context, url=server, tls={"verify": False})["status"] == 200


def test_no_certificate_goes_unchecked_on_the_public_network(context: ActionContext) -> None:
    class Far(socket.socket):
        """A socket that says it is connected to the public network."""

        def getpeername(self) -> Any:  # noqa: ANN401 - the library's signature
            return ("1.1.1.1", 443)

    stream = Stream(Far(), context)

    assert code(lambda: stream.start_tls(Tls(verify=False).context())) == "tls_failed"


@pytest.mark.parametrize(
    "shown",
    [
        {"client_cert_ref": "env/CLIENT"},
        {"client_cert_ref": "env/CERTIFICATE", "client_key_ref": "env/KEY"},
    ],
)
def test_a_client_shows_its_certificate_by_reference(
    server: str, context: ActionContext, shown: dict[str, str]
) -> None:
    outputs = call(context, url=server, tls={"ca": CA.certificate, **shown})

    assert "client" in outputs["body"]


def test_a_redirect_to_another_origin_sees_no_certificate_of_ours(
    server: str, context: ActionContext
) -> None:
    other = server.replace("127.0.0.1", "localhost")
    tls = {"verify": False, "client_cert_ref": "env/CLIENT"}
    by_name = tls | {"ca": CA.certificate, "server_name": "inside.example", "verify": True}

    same = call(context, url=f"{server}/?to=/again", tls=tls)

    assert "client" in same["body"]
    assert code(lambda: call(context, url=f"{server}/?to={other}/", tls=tls)) == "tls_failed"
    assert code(lambda: call(context, url=f"{server}/?to={other}/", tls=by_name)) == "tls_failed"


def test_of_two_servers_that_are_trusted_only_the_first_sees_the_certificate(
    server: str, context: ActionContext, tmp_path: Path
) -> None:
    tls = {"ca": CA.certificate, "client_cert_ref": "env/CLIENT"}
    with serving(tmp_path, wants=ssl.CERT_OPTIONAL) as other:
        outputs = call(context, url=f"{server}/?to={other}/", tls=tls)

    assert outputs["body"] == "nobody"


def test_a_server_that_wants_a_certificate_and_gets_none_is_no_reason_to_try_again(
    context: ActionContext, tmp_path: Path
) -> None:
    with serving(tmp_path, wants=ssl.CERT_REQUIRED) as url:
        found = code(lambda: call(context, url=url, tls={"ca": CA.certificate}))

    assert found == "tls_failed"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("env/TOKEN", "tls_failed"),
        ("env/CERTIFICATE", "tls_failed"),
        ("env/LOCKED", "tls_failed"),
        ("env/NONE", "secret_not_found"),
    ],
)
def test_a_secret_that_is_no_certificate_with_its_key_is_refused_without_a_word_of_it(
    server: str, context: ActionContext, reference: str, expected: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        call(context, url=server, tls={"client_cert_ref": reference})

    assert caught.value.failure_code == expected
    assert "t0ken" not in caught.value.message


def test_a_version_below_the_least_is_refused(context: ActionContext, tmp_path: Path) -> None:
    tls = {"ca": CA.certificate}
    with serving(tmp_path, most=ssl.TLSVersion.TLSv1_2) as url:
        old = call(context, url=url, tls=tls)["headers"]["x-version"]
        refused = code(lambda: call(context, url=url, tls=tls | {"min_version": "1.3"}))
        as_number = code(lambda: call(context, url=url, tls=tls | {"min_version": 1.3}))

    assert old == "TLSv1.2"
    assert refused == as_number == "tls_failed"
