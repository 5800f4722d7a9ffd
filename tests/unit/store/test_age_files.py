"""Age files: what is sealed for a path opens for that path, with that key, and no other way."""

import base64
import datetime as dt
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import encrypt, x25519

from tests.neighbours import neighbour
from xyn_reconciler.desired.load import load
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.secret import MAX_VALUE_BYTES, file_of, scope_of, secret_at
from xyn_reconciler.store.age_files import (
    SecretPathError,
    SecretUnreadableError,
    new_key,
    open_sealed,
    read_key,
    recipient_of,
    seal,
)

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
PATH = "team/noc/ssh"
KEY, RECIPIENT = new_key()
OTHER, OTHER_RECIPIENT = new_key()


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=300))
def test_a_value_comes_back_as_it_went_in(value: str) -> None:
    try:
        sealed = seal(PATH, value, [RECIPIENT, OTHER_RECIPIENT], NOW)
    except UnicodeEncodeError:
        return  # half a surrogate is no text

    for key in (KEY, OTHER):
        found = open_sealed(PATH, sealed, [key])
        assert (found.value, found.created_at) == (value, NOW)
    assert repr(found) == f"Sealed({PATH!r})"


def test_only_those_it_is_encrypted_to_open_it() -> None:
    sealed = seal(PATH, "open sesame", [RECIPIENT], NOW)

    with pytest.raises(SecretUnreadableError, match="not encrypted to this node"):
        open_sealed(PATH, sealed, [OTHER])
    with pytest.raises(SecretUnreadableError):
        open_sealed(PATH, sealed, [])


def test_the_file_of_another_path_is_refused() -> None:
    sealed = seal("team/dba/ssh", "open sesame", [RECIPIENT], NOW)

    with pytest.raises(SecretPathError, match="copied"):
        open_sealed(PATH, sealed, [KEY])


@pytest.mark.parametrize(
    ("path", "value", "recipients"),
    [
        ("env/KEY", "v", [RECIPIENT]),
        ("../x", "v", [RECIPIENT]),
        (PATH, "", [RECIPIENT]),
        (PATH, "x" * (MAX_VALUE_BYTES + 1), [RECIPIENT]),
        (PATH, "v", []),
        (PATH, "v", ["age1nobody"]),
    ],
)
def test_what_nobody_could_use_is_not_made(path: str, value: str, recipients: list[str]) -> None:
    with pytest.raises(InvalidError):
        seal(path, value, recipients, NOW)


def test_what_age_made_of_something_else_opens_and_is_no_value_of_ours(tmp_path: Path) -> None:
    age = neighbour("age", "age")
    made = subprocess.run(
        [age, "-a", "-r", RECIPIENT], input=b"hunter2-hunter2", capture_output=True, check=True
    )

    with pytest.raises(SecretUnreadableError, match="no value of Xyn") as refused:
        open_sealed(PATH, made.stdout.decode(), [KEY])
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    file = tmp_path / "age.key"
    subprocess.run([age.with_name("age-keygen"), "-o", file], capture_output=True, check=True)
    assert recipient_of(str(read_key(file))).startswith("age1")


@pytest.mark.parametrize(
    "plain",
    [
        b"[" * 100_000,
        b"\xff",
        b"null",
        b'{"path": "%s", "value": ""}' % PATH.encode(),
        b'{"path": "%s", "value": "\\ud800 is half a letter"}' % PATH.encode(),
        b'{"path": "%s", "value": "%s"}' % (PATH.encode(), b"x" * (MAX_VALUE_BYTES + 1)),
    ],
    ids=lambda plain: plain[:40].decode("latin-1"),
)
def test_what_anybody_encrypted_to_this_node_is_taken_for_no_value(plain: bytes) -> None:
    """Anybody can: the recipient is in the node's definition."""
    made = encrypt(plain, [x25519.Recipient.from_str(RECIPIENT)], armored=True)

    with pytest.raises(SecretUnreadableError, match="no value of Xyn"):
        open_sealed(PATH, made.decode(), [KEY])


def test_a_file_below_secrets_is_armor_or_a_problem() -> None:
    sealed = seal(PATH, "open sesame", [RECIPIENT], NOW).encode()
    binary = base64.b64decode(b"".join(sealed.splitlines()[1:-1]))
    fake = b"-----BEGIN AGE ENCRYPTED FILE-----\naHVudGVyMg==\n-----END AGE ENCRYPTED FILE-----\n"

    good = load(file_of(PATH), "b", sealed)
    assert (good.kind, good.document_id, good.problems) == ("secret", PATH, ())
    for data in (b"hunter2", binary, fake, b"", sealed[:-30]):
        (problem,) = load(file_of(PATH), "b", data).problems
        assert problem.code == "secret_not_encrypted"
        assert "hunter2" not in str(problem)
    (problem,) = load("secrets/elsewhere/x.age", "b", sealed).problems
    assert problem.code == "bad_secret_path"
    (problem,) = load("secrets/team/noc/ssh.txt", "b", b"hunter2").problems
    assert problem.code == "secret_not_encrypted"
    assert load("secrets/README.md", "b", b"words").kind == "other"


@pytest.mark.parametrize(
    ("reference", "owner"),
    [
        ("env/KEY", "env"),
        ("sys/local/providers/openai", "sys"),
        ("team/noc/ssh", "team"),
        ("user/ada/key", "user"),
        ("team/noc", None),
        ("vault/x/y", None),
        ("sys/local/../x", None),
    ],
)
def test_a_reference_says_whose_it_is(reference: str, owner: str | None) -> None:
    scope = scope_of(reference)

    assert (None if scope is None else scope.owner) == owner
    if owner not in (None, "env"):
        assert secret_at(file_of(reference)) == reference
