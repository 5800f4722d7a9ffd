import base64
import datetime as dt
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.source import SCHEMES as LANGUAGE
from xyn_reconciler.trigger.signature import (
    MAX_SIGNATURES,
    SCHEMES,
    UnverifiedError,
    any_equal,
    secret_refs,
    verify,
)

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
BODY = b'{"n": 1,  "text": "\xc3\xa9"}'
SECRETS = {"env/OLD": "old-secret", "env/NEW": "new-secret", "env/EMPTY": "", "env/BLANK": " "}
WHSEC = "whsec_" + base64.b64encode(b"a key of twenty-four b.").decode()
BOTH = ["env/OLD", "env/NEW"]


def source(scheme: str, *refs: str, **settings: str) -> dict[str, Any]:
    return {"id": "x", "verify": {"scheme": scheme, "secret_refs": list(refs or BOTH), **settings}}


def accepts(
    document: dict[str, Any],
    headers: dict[str, str],
    body: bytes = BODY,
    *,
    secrets: dict[str, str] = SECRETS,
    now: dt.datetime = NOW,
    from_loopback: bool = False,
) -> bool:
    try:
        verify(document, headers, body, resolve=secrets.get, from_loopback=from_loopback, now=now)
    except UnverifiedError:
        return False
    return True


def signed(scheme: str, secret: str, body: bytes = BODY, now: dt.datetime = NOW) -> dict[str, str]:
    """The headers that a sender of this scheme would send."""
    key, time = secret.encode(), b"%d" % now.timestamp()
    match scheme:
        case "github":
            return {"x-hub-signature-256": "sha256=" + hex_of(key, body)}
        case "gitlab":
            return {"x-gitlab-token": secret}
        case "bearer":
            return {"authorization": f"Bearer {secret}"}
        case "pagerduty":
            return {"x-pagerduty-signature": "v1=" + hex_of(key, body)}
        case "stripe":
            mac = hex_of(key, time + b"." + body)
            return {"stripe-signature": f"t={time.decode()},v1={mac},v0=beef"}
        case "standard":
            key = base64.b64decode(secret.removeprefix("whsec_"))
            digest = hmac.digest(key, b"msg_1." + time + b"." + body, "sha256")
            return {
                "webhook-id": "msg_1",
                "webhook-timestamp": time.decode(),
                "webhook-signature": "v1," + base64.b64encode(digest).decode(),
            }
    raise ValueError(scheme)


def hex_of(key: bytes, body: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()


SIGNED = ("github", "stripe", "pagerduty", "standard")
SECRET_OF = dict.fromkeys((*SIGNED, "gitlab", "bearer"), "new-secret") | {"standard": WHSEC}


def the_source(scheme: str) -> tuple[dict[str, Any], dict[str, str]]:
    return source(scheme), SECRETS | {"env/NEW": SECRET_OF[scheme]}


def test_every_scheme_of_the_language_is_here() -> None:
    assert set(SCHEMES) == set(LANGUAGE)


# ── published examples ───────────────────────────────────────────────────────────────────────────


def test_the_example_of_githubs_manual() -> None:
    """docs.github.com, "Validating webhook deliveries", section on testing the validation."""
    secrets = {"env/S": "It's a Secret to Everybody"}
    mac = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert accepts(
        source("github", "env/S"), {"x-hub-signature-256": mac}, b"Hello, World!", secrets=secrets
    )


def test_the_example_of_standard_webhooks() -> None:
    """The example of the reference libraries (standard-webhooks/standard-webhooks)."""
    secrets = {"env/S": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }

    assert accepts(
        source("standard", "env/S"),
        headers,
        b'{"test": 2432232314}',
        secrets=secrets,
        now=dt.datetime.fromtimestamp(1614265330, dt.UTC),
    )


@pytest.mark.parametrize(
    ("algorithm", "mac"),
    [
        ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "sha512",
            (
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6"
                "d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
            ),
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_test_case_2_of_rfc_4231(algorithm: str, mac: str, encoding: str) -> None:
    document = source(
        "hmac",
        "env/S",
        header="X-Camera-Signature",
        algorithm=algorithm,
        encoding=encoding,
        prefix="v1=",
    )
    text = mac if encoding == "hex" else base64.b64encode(bytes.fromhex(mac)).decode()
    body, secrets = b"what do ya want for nothing?", {"env/S": "Jefe"}

    assert accepts(document, {"x-camera-signature": "v1=" + text}, body, secrets=secrets)
    assert not accepts(document, {"x-camera-signature": text}, body, secrets=secrets)
    upper = {"x-camera-signature": "v1=" + text.upper()}
    assert accepts(document, upper, body, secrets=secrets) is (encoding == "hex")


# ── every scheme ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", SECRET_OF)
def test_a_genuine_delivery_is_accepted_under_either_secret_of_a_rotation(scheme: str) -> None:
    document, secrets = the_source(scheme)
    old = secrets | {"env/OLD": SECRET_OF[scheme], "env/NEW": "whsec_b3RoZXI="}

    assert accepts(document, signed(scheme, SECRET_OF[scheme]), secrets=secrets)
    assert accepts(document, signed(scheme, SECRET_OF[scheme]), secrets=old)


@pytest.mark.parametrize("scheme", SECRET_OF)
def test_another_secret_or_no_header_is_refused(scheme: str) -> None:
    document, secrets = the_source(scheme)
    other = "whsec_b3RoZXI=" if scheme == "standard" else "other"

    assert not accepts(document, signed(scheme, other), secrets=secrets, from_loopback=True)
    assert not accepts(document, {}, secrets=secrets, from_loopback=True)


@pytest.mark.parametrize("scheme", SIGNED)
def test_the_signature_is_of_the_raw_bytes(scheme: str) -> None:
    document, secrets = the_source(scheme)
    headers = signed(scheme, SECRET_OF[scheme])

    assert not accepts(document, headers, BODY.replace(b"  ", b" "), secrets=secrets)
    assert not accepts(document, headers, BODY + b"\n", secrets=secrets)


@pytest.mark.parametrize("scheme", ["stripe", "standard"])
@pytest.mark.parametrize(
    ("seconds", "accepted"), [(299, True), (-299, True), (301, False), (-301, False)]
)
def test_a_delivery_is_good_for_five_minutes(scheme: str, seconds: int, *, accepted: bool) -> None:
    document, secrets = the_source(scheme)
    headers = signed(scheme, SECRET_OF[scheme])

    later = NOW + dt.timedelta(seconds=seconds)

    assert accepts(document, headers, secrets=secrets, now=later) is accepted


def test_the_tolerance_is_the_sources_own() -> None:
    document = source("standard", "env/S", tolerance="30s")
    headers, secrets = signed("standard", WHSEC), {"env/S": WHSEC}

    assert accepts(document, headers, secrets=secrets, now=NOW + dt.timedelta(seconds=30))
    assert not accepts(document, headers, secrets=secrets, now=NOW + dt.timedelta(seconds=31))


@pytest.mark.parametrize("time", ["", "soon", "-1", "1e9", "\u0661", "9" * 400, "0x10"])
@pytest.mark.parametrize("scheme", ["stripe", "standard"])
def test_a_time_that_is_none_is_refused(scheme: str, time: str) -> None:
    document, secrets = the_source(scheme)
    key = base64.b64decode(WHSEC[6:]) if scheme == "standard" else b"new-secret"
    start = "msg_1." if scheme == "standard" else ""
    mac = hmac.digest(key, f"{start}{time}.".encode() + BODY, "sha256")
    headers = (
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": time,
            "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        }
        if scheme == "standard"
        else {"stripe-signature": f"t={time},v1={mac.hex()}"}
    )

    assert not accepts(document, headers, secrets=secrets)


def test_the_id_of_a_standard_webhook_is_signed_with_it() -> None:
    document, secrets = the_source("standard")
    headers = signed("standard", WHSEC) | {"webhook-id": "msg_2"}

    assert not accepts(document, headers, secrets=secrets)


@pytest.mark.parametrize(
    ("scheme", "header", "between"),
    [
        ("standard", "webhook-signature", " "),
        ("stripe", "stripe-signature", ","),
        ("pagerduty", "x-pagerduty-signature", ","),
    ],
)
def test_one_right_signature_among_several_is_enough(
    scheme: str, header: str, between: str
) -> None:
    document, secrets = the_source(scheme)
    right = signed(scheme, SECRET_OF[scheme])
    wrong = {"standard": "v1,AAAA", "stripe": "v1=00", "pagerduty": "v1=00"}[scheme]

    few = right | {header: between.join([wrong, right[header], "v9,x"])}
    many = right | {header: between.join([*[wrong] * MAX_SIGNATURES, right[header]])}

    assert accepts(document, few, secrets=secrets)
    assert not accepts(document, many, secrets=secrets)


@pytest.mark.parametrize(
    ("authorization", "accepted"),
    [
        ("Bearer old-secret", True),
        ("bearer new-secret", True),
        ("Bearer other", False),
        ("Bearer ", False),
        ("Bearer", False),
        ("", False),
        ("Basic old-secret", False),
        ("old-secret", False),
        ("Bearer \udcff\udcfe", False),
    ],
)
def test_a_bearer_token_is_one_of_the_secrets(authorization: str, *, accepted: bool) -> None:
    headers = {"authorization": authorization}

    assert accepts(source("bearer"), headers, from_loopback=True) is accepted


# ── no secret ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ref", ["env/EMPTY", "env/UNSET", "env/BLANK"])
@pytest.mark.parametrize("scheme", [*SIGNED, "gitlab", "bearer", "hmac"])
@pytest.mark.parametrize("secret", ["", " "])
def test_an_empty_or_missing_secret_never_verifies(scheme: str, ref: str, secret: str) -> None:
    document = source(scheme, ref, header="x-signature")
    headers = (
        {"x-signature": hex_of(secret.encode(), BODY)}
        if scheme == "hmac"
        else signed(scheme, secret if scheme != "standard" else "whsec_")
    )

    assert not accepts(document, headers)
    assert not accepts(document, {})


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", "whsec_äö"])
def test_a_standard_secret_that_is_no_base64_never_verifies(secret: str) -> None:
    document = source("standard", "env/S")
    mac = hmac.digest(b"", b"msg_1.1767323045." + BODY, "sha256")
    headers = signed("standard", WHSEC) | {
        "webhook-signature": "v1," + base64.b64encode(mac).decode()
    }

    assert not accepts(document, headers, secrets={"env/S": secret})


def test_a_source_in_a_pack_takes_its_secret_from_the_packs_settings() -> None:
    document = source("gitlab", "{{ settings.hook_ref }}", "env/OLD")

    def accepted(token: str, pack: dict[str, Any]) -> bool:
        try:
            verify(
                document,
                {"x-gitlab-token": token},
                BODY,
                pack=pack,
                resolve=SECRETS.get,
                from_loopback=False,
                now=NOW,
            )
        except UnverifiedError:
            return False
        return True

    assert accepted("new-secret", {"hook_ref": "env/NEW"})
    assert accepted("old-secret", {"hook_ref": "env/NEW"})
    assert not accepted("new-secret", {})
    assert not accepted("", {"hook_ref": ""})
    assert secret_refs(document, {"hook_ref": "env/NEW"}) == ["env/NEW", "env/OLD"]
    assert secret_refs(document, {"hook_ref": 7}) == ["{{ settings.hook_ref }}", "env/OLD"]
    assert secret_refs({"verify": {"scheme": "none"}}) == []


def test_scheme_none_is_for_this_machine_alone() -> None:
    document = {"id": "x", "verify": {"scheme": "none"}}

    assert accepts(document, {}, from_loopback=True)
    assert not accepts(document, {}, from_loopback=False)


def test_every_refusal_has_the_same_words() -> None:
    said = set()
    for scheme in (*SIGNED, "gitlab", "bearer"):
        for headers in ({}, {"authorization": "Bearer x", "x-gitlab-token": "y"}):
            for refs in (BOTH, ["env/UNSET"]):
                with pytest.raises(UnverifiedError) as caught:
                    verify(
                        source(scheme, *refs),
                        headers,
                        b"",
                        resolve=SECRETS.get,
                        from_loopback=True,
                        now=NOW,
                    )
                said.add((str(caught.value), caught.value.http_status))

    assert said == {("this delivery is not signed as its source asks", 401)}


@given(
    st.sampled_from([*SIGNED, "gitlab", "bearer", "hmac"]),
    st.dictionaries(
        st.sampled_from(
            [
                "x-hub-signature-256",
                "x-gitlab-token",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
                "stripe-signature",
                "x-pagerduty-signature",
                "authorization",
                "x-signature",
            ]
        ),
        st.text(),
    ),
    st.binary(),
)
def test_no_header_of_a_stranger_is_accepted_or_raises_anything_else(
    scheme: str, headers: dict[str, str], body: bytes
) -> None:
    printable = {k: v.encode("utf-8", "replace").decode("latin-1") for k, v in headers.items()}

    assert not accepts(source(scheme, header="x-signature"), printable, body)


def test_nothing_equals_no_secret() -> None:
    assert not any_equal(b"", [])
    assert any_equal(b"a", [b"b", b"a"])
