from typing import Any

import pytest

from xyn_reconciler.trigger.signature import (
    SchemeNotInstalledError,
    UnverifiedError,
    any_equal,
    verify,
)

BEARER = {"id": "x", "verify": {"scheme": "bearer", "secret_refs": ["env/OLD", "env/NEW"]}}
SECRETS = {"env/OLD": "old-secret", "env/NEW": "new-secret", "env/EMPTY": ""}


def accepts(
    source: dict[str, Any], headers: dict[str, str], *, from_loopback: bool = False
) -> bool:
    try:
        verify(source, headers, b"{}", resolve=SECRETS.get, from_loopback=from_loopback)
    except UnverifiedError:
        return False
    return True


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
    assert accepts(BEARER, {"authorization": authorization}, from_loopback=True) is accepted


@pytest.mark.parametrize("ref", ["env/EMPTY", "env/UNSET"])
@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer", ""])
def test_an_empty_or_missing_secret_never_verifies(ref: str, authorization: str) -> None:
    source = {"id": "x", "verify": {"scheme": "bearer", "secret_refs": [ref]}}

    assert not accepts(source, {"authorization": authorization})


def test_scheme_none_is_for_this_machine_alone() -> None:
    source = {"id": "x", "verify": {"scheme": "none"}}

    assert accepts(source, {}, from_loopback=True)
    assert not accepts(source, {}, from_loopback=False)


def test_a_scheme_that_is_not_here_says_so() -> None:
    source = {"id": "x", "verify": {"scheme": "stripe", "secret_refs": ["env/OLD"]}}

    with pytest.raises(SchemeNotInstalledError, match="stripe"):
        verify(source, {}, b"", resolve=SECRETS.get, from_loopback=True)


def test_every_refusal_has_the_same_words() -> None:
    said = set()
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic new-secret"}):
        with pytest.raises(UnverifiedError) as caught:
            verify(BEARER, headers, b"", resolve=SECRETS.get, from_loopback=True)
        said.add((str(caught.value), caught.value.http_status))

    assert said == {("this delivery is not signed as its source asks", 401)}


def test_nothing_equals_no_secret() -> None:
    assert not any_equal(b"", [])
    assert any_equal(b"a", [b"b", b"a"])
