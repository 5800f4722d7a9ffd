"""Tokens and sessions of a home, on a real file."""

import datetime as dt
import stat
import threading
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.store.credentials import SESSION_LIFETIME, Credentials

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path)


def test_a_token_stands_for_its_principal_and_its_text_is_kept_nowhere(tmp_path: Path) -> None:
    text, token = Credentials(tmp_path).create_token("ada", now=NOW, expires_at=None)
    file = tmp_path / "credentials.json"

    found = Credentials(tmp_path).find_token(text, now=NOW)

    assert found == token
    assert token.principal == "ada"
    assert text.startswith(f"xyn_{token.id}_")
    assert text.rpartition("_")[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text.upper(),
        lambda text: text + "0",
        lambda text: f" {text}",
        lambda text: text.partition("_")[2],
        lambda _: "",
        lambda _: f"xyn_{'0' * 12}_{'0' * 64}",
    ],
)
def test_a_text_that_is_not_the_token_is_nobody(credentials: Credentials, change) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - one line each above
    text, _ = credentials.create_token("ada", now=NOW, expires_at=None)

    assert credentials.find_token(change(text), now=NOW) is None


def test_a_token_ends_when_it_expires(credentials: Credentials) -> None:
    text, _ = credentials.create_token("ada", now=NOW, expires_at=NOW + SECOND)

    assert credentials.find_token(text, now=NOW) is not None
    assert credentials.find_token(text, now=NOW + SECOND) is None


def test_a_revoked_token_takes_its_sessions_with_it(credentials: Credentials) -> None:
    text, token = credentials.create_token("ada", now=NOW, expires_at=None)
    _, other = credentials.create_token("ada", now=NOW, expires_at=None)
    cookie, _ = credentials.open_session(token, now=NOW)
    kept, _ = credentials.open_session(other, now=NOW)

    credentials.revoke_token(token.id, now=NOW)

    assert credentials.find_token(text, now=NOW) is None
    assert credentials.find_session(cookie, now=NOW) is None
    assert credentials.find_session(kept, now=NOW) is not None
    with pytest.raises(NotFoundError, match="xynctl token list"):
        credentials.revoke_token("0" * 12, now=NOW)


def test_a_session_lasts_half_a_day_and_no_longer_than_its_token(
    credentials: Credentials,
) -> None:
    _, long = credentials.create_token("ada", now=NOW, expires_at=None)
    _, short = credentials.create_token("ada", now=NOW, expires_at=NOW + SECOND)
    whole, _ = credentials.open_session(long, now=NOW)
    brief, _ = credentials.open_session(short, now=NOW)

    assert credentials.find_session(whole, now=NOW + SESSION_LIFETIME - SECOND) is not None
    assert credentials.find_session(whole, now=NOW + SESSION_LIFETIME) is None
    assert credentials.find_session(brief, now=NOW + SECOND) is None


def test_a_closed_session_and_one_with_another_secret_are_nobody(
    credentials: Credentials,
) -> None:
    _, token = credentials.create_token("ada", now=NOW, expires_at=None)
    cookie, session = credentials.open_session(token, now=NOW)

    assert credentials.find_session(f"{session.id}.{'0' * 64}", now=NOW) is None
    assert [one.id for one in credentials.sessions(now=NOW)] == [session.id]
    credentials.close_session(session.id)
    assert credentials.find_session(cookie, now=NOW) is None
    assert credentials.sessions(now=NOW) == []


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    def make() -> None:
        own = Credentials(tmp_path)
        for _ in range(5):
            own.create_token("ada", now=NOW, expires_at=None)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(Credentials(tmp_path).tokens()) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock-credentials",
        "credentials.json",
    ]
