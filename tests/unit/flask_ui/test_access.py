import base64
import threading

import pytest
from werkzeug.datastructures import Headers

from flask_ui import security
from flask_ui.access import Access, ExposedError, same_origin, settle
from flask_ui.security import (
    EVENT_MAX,
    FORM_MAX,
    CutOffError,
    GuardedBody,
    TooLargeError,
    body_limit,
)
from xyn_reconciler.model.errors import UnavailableError

URL = "http://127.0.0.1:8080"
TOKEN = "t" * 16


@pytest.mark.parametrize(
    "host",
    ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST", "xyn.localhost:1", "127.0.0.1."],
)
def test_loopback_answers_to_its_own_names(host: str) -> None:
    assert Access().knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", None, "a b", "[::2]"],
)
def test_another_host_name_is_nobody_here(host: str | None) -> None:
    assert not Access().knows_host(host)


def test_without_a_host_both_loopback_addresses_are_bound() -> None:
    addresses, access = settle(None, {}, url=URL, gateway="172.17.0.1")

    assert addresses == ("127.0.0.1", "::1")
    assert access.token is None
    assert not access.is_near("172.17.0.1")


@pytest.mark.parametrize("token", [{}, {"XYN_TOKEN": "t" * 15}])
def test_another_address_without_a_good_token_refuses_to_start(token: dict[str, str]) -> None:
    with pytest.raises(ExposedError, match="XYN_TOKEN"):
        settle("0.0.0.0", token, url=URL, gateway=None)  # noqa: S104 - refused is the point


def test_another_address_with_a_token_wants_it_of_everybody() -> None:
    addresses, access = settle("192.0.2.1", {"XYN_TOKEN": TOKEN}, url=URL, gateway=None)

    assert addresses == ("192.0.2.1",)
    assert access.knows_host("192.0.2.1:8080")
    assert access.admits(f"Bearer {TOKEN}")
    assert not any(map(access.admits, [None, "", f"Basic {TOKEN}", "Bearer t", TOKEN]))


def test_the_token_may_come_as_the_password_of_basic_authentication() -> None:
    _, access = settle("192.0.2.1", {"XYN_TOKEN": TOKEN}, url=URL, gateway=None)

    def basic(credentials: str) -> str:
        return f"Basic {base64.b64encode(credentials.encode()).decode()}"

    assert access.admits(basic(f"ada:{TOKEN}"))
    assert access.admits(basic(f":{TOKEN}"))
    assert not any(map(access.admits, [basic("ada:wrong"), basic(TOKEN), "Basic %", "Basic"]))


def test_a_port_published_on_loopback_counts_the_gateway_as_this_machine() -> None:
    environment = {"XYN_PUBLISHED_ON_LOOPBACK": "1"}
    addresses, access = settle("0.0.0.0", environment, url=URL, gateway="172.17.0.1")  # noqa: S104 - of a container

    assert addresses == ("0.0.0.0",)  # noqa: S104 - inside a container
    assert access.admits(None)
    assert access.is_near("172.17.0.1")
    assert not access.is_near("172.17.0.2")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_every_loopback_address_is_near(address: str) -> None:
    assert Access().is_near(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "::2", "", None, "localhost"])
def test_other_addresses_are_not(address: str | None) -> None:
    assert not Access().is_near(address)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
def test_our_own_pages_and_programs_may_change_things(headers: dict[str, str]) -> None:
    assert same_origin(Headers({"Host": "127.0.0.1:8080", **headers}))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9090"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"},
    ],
)
def test_pages_of_others_may_not(headers: dict[str, str]) -> None:
    assert not same_origin(Headers({"Host": "127.0.0.1:8080", **headers}))


def test_each_address_has_its_cap() -> None:
    assert body_limit("/hooks/x", "application/json") == EVENT_MAX
    assert body_limit("/ui/runs", "application/x-www-form-urlencoded") == FORM_MAX
    assert body_limit("/git/state.git/git-receive-pack", "") is None
    in_memory = body_limit("/api/v1/artifacts", "application/json; charset=utf-8")
    streamed = body_limit("/api/v1/artifacts", "multipart/form-data; boundary=x")
    assert in_memory is not None
    assert streamed is not None
    assert in_memory < streamed


class _Dripping:
    """A body that comes in pieces of three bytes, as chunks do."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, size: int) -> bytes:
        part, self.content = self.content[: min(size, 3)], self.content[min(size, 3) :]
        return part


@pytest.mark.parametrize("length", [0, 9, 10])
def test_a_body_up_to_its_cap_is_read_whole(length: int) -> None:
    assert GuardedBody(_Dripping(b"x" * length), 10).read() == b"x" * length  # type: ignore[arg-type]  # reads are all it needs


def test_a_body_over_its_cap_is_refused_and_never_cut() -> None:
    with pytest.raises(TooLargeError):
        GuardedBody(_Dripping(b"x" * 11), 10).read()  # type: ignore[arg-type]  # as above

    body = GuardedBody(_Dripping(b"x" * 11), 10)  # type: ignore[arg-type]  # as above
    with pytest.raises(TooLargeError):
        _ = [body.read(4) for _ in range(4)]


@pytest.mark.parametrize("size", [-1, 4])
def test_a_body_that_was_cut_off_is_not_taken_for_whole(size: int) -> None:
    body = GuardedBody(_Dripping(b"x" * 9), 10, 10)  # type: ignore[arg-type]  # as above
    with pytest.raises(CutOffError):
        _ = [body.read(size) for _ in range(5)]

    assert GuardedBody(_Dripping(b"x" * 9), 10, 9).read() == b"x" * 9  # type: ignore[arg-type]  # as above


def test_who_finds_too_many_slow_bodies_before_is_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(security, "PLACE_SECONDS", 0)
    monkeypatch.setattr(security, "_ON_THEIR_WAY", threading.BoundedSemaphore(1))
    other = GuardedBody(_Dripping(b"x"), 10)  # type: ignore[arg-type]  # as above

    class Slow:
        def read(self, _: int) -> bytes:
            return other.read()

    with pytest.raises(UnavailableError):
        GuardedBody(Slow(), 10).read()  # type: ignore[arg-type]  # as above
    assert other.read() == b"x"
