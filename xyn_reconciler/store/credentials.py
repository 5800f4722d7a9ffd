"""Tokens and sessions of a home: what proves who acts, in one file that only its owner reads.

Of a token and of a session the file has the SHA-256 alone, never the text: they
are random, so their hash cannot be guessed back. They are the home's own and stand in
no database and in no commit; a lost file means that tokens are made anew.
Safe from many threads and processes: writers hold a lock, readers see whole files.

Beside it, in ``run/owner.token``, stands the owner's own token, in clear: whoever can read the
home's files is its owner. It is made anew at each start.
"""

import contextlib
import datetime as dt
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.event import isoformat

SESSION_LIFETIME: Final = dt.timedelta(hours=12)

Answer = TypeVar("Answer")

_OWNER: Final = "xyn_owner_"
_TOKEN: Final = re.compile(r"xyn_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A token, or a session that was opened with one."""

    id: str
    principal: str
    sha256: str
    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    """``None``: until it is revoked."""
    revoked_at: dt.datetime | None = None
    token_id: str | None = None
    """Of a session, the token that opened it: it ends with it."""

    def holds(self, now: dt.datetime) -> bool:
        """Whether it proves anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class _Known:
    tokens: dict[str, Credential] = field(default_factory=dict)
    sessions: dict[str, Credential] = field(default_factory=dict)


class Credentials:
    """The file of one home."""

    def __init__(self, home: Path) -> None:
        self._path = home / "credentials.json"
        self._lock = home / ".lock-credentials"
        self._owner = home / "run" / "owner.token"
        self._thread = threading.Lock()
        self._cached: tuple[object, _Known] = (None, _Known())

    # ── tokens ───────────────────────────────────────────────────────────────────────────────────

    def create_token(
        self, principal: str, *, now: dt.datetime, expires_at: dt.datetime | None
    ) -> tuple[str, Credential]:
        """Make a token; its text is given here and never again."""
        made = secrets.token_hex(6)
        text = f"xyn_{made}_{secrets.token_hex(32)}"
        token = Credential(
            id=made,
            principal=principal,
            sha256=_sha256(text),
            created_at=now,
            expires_at=expires_at,
        )
        self._change(lambda known: known.tokens.update({made: token}))
        return text, token

    def find_token(self, text: str, *, now: dt.datetime) -> Credential | None:
        """Give the token that this text is, if it holds; in a time that says nothing about it."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        token = self._read().tokens.get(found[1])
        same = hmac.compare_digest(_sha256(text), token.sha256 if token else _NOBODY)
        return token if token is not None and same and token.holds(now) else None

    def tokens(self) -> list[Credential]:
        """Every token that there was, the oldest first."""
        return sorted(self._read().tokens.values(), key=lambda token: token.created_at)

    def revoke_token(self, token_id: str, *, now: dt.datetime) -> Credential:
        """End a token, and every session that was opened with it; ``NotFoundError`` without it."""

        def revoke(known: _Known) -> Credential:
            token = known.tokens.get(token_id)
            if token is None:
                raise NotFoundError(f"no token {token_id}; list them: xynctl token list")
            known.tokens[token_id] = replace(token, revoked_at=token.revoked_at or now)
            for session in [s for s in known.sessions.values() if s.token_id == token_id]:
                del known.sessions[session.id]
            return known.tokens[token_id]

        return self._change(revoke)

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────

    def open_session(self, token: Credential, *, now: dt.datetime) -> tuple[str, Credential]:
        """Open a session for the holder of a token, for at most :data:`SESSION_LIFETIME`."""
        made, text = secrets.token_hex(6), secrets.token_hex(32)
        until = now + SESSION_LIFETIME
        session = Credential(
            id=made,
            principal=token.principal,
            sha256=_sha256(text),
            created_at=now,
            expires_at=until if token.expires_at is None else min(until, token.expires_at),
            token_id=token.id,
        )

        def add(known: _Known) -> None:
            for over in [s.id for s in known.sessions.values() if not s.holds(now)]:
                del known.sessions[over]
            known.sessions[made] = session

        self._change(add)
        return f"{made}.{text}", session

    def find_session(self, text: str, *, now: dt.datetime) -> Credential | None:
        """Give the session that a cookie names, if it holds and its token does."""
        made, _, secret = text.partition(".")
        known = self._read()
        session = known.sessions.get(made)
        same = hmac.compare_digest(_sha256(secret), session.sha256 if session else _NOBODY)
        if session is None or not same or not session.holds(now):
            return None
        token = known.tokens.get(session.token_id or "")
        return session if token is not None and token.holds(now) else None

    def sessions(self, *, now: dt.datetime) -> list[Credential]:
        """Every session that holds, the newest first."""
        found = [session for session in self._read().sessions.values() if session.holds(now)]
        return sorted(found, key=lambda session: session.created_at, reverse=True)

    def close_session(self, session_id: str) -> Credential:
        """End a session; ``NotFoundError`` without it."""

        def close(known: _Known) -> Credential:
            session = known.sessions.pop(session_id, None)
            if session is None:
                raise NotFoundError(f"no session {session_id}")
            return session

        return self._change(close)

    # ── the owner ────────────────────────────────────────────────────────────────────────────────

    def renew_owner_token(self) -> None:
        _write(self._owner, f"{_OWNER}{secrets.token_hex(32)}")

    def owner_token(self) -> str | None:
        """Give the owner's token; ``None`` before the first start, or for who may not read it."""
        try:
            return self._owner.read_text(encoding="ascii") or None
        except OSError:
            return None

    def is_owner_token(self, text: str) -> bool:
        """Whether it is, in a time that says nothing about it."""
        if not text.startswith(_OWNER):
            return False
        known = self.owner_token()
        return hmac.compare_digest(_sha256(text), _sha256(known or "")) and known is not None

    # ── the file ─────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> _Known:
        """What the file holds; read again when it was replaced, and only then."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return _Known()
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._cached[0] != version:
            self._cached = (version, _parse(self._path.read_text(encoding="utf-8")))
        return self._cached[1]

    def _change(self, change: Callable[[_Known], Answer]) -> Answer:
        with self._alone():
            now = self._read()
            known = _Known(dict(now.tokens), dict(now.sessions))
            answer = change(known)
            _write(self._path, _text(known))
            return answer

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._thread, os.fdopen(os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o600)) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _text(known: _Known) -> str:
    def rows(found: dict[str, Credential]) -> list[dict[str, Any]]:
        return [
            {
                key: isoformat(value) if isinstance(value, dt.datetime) else value
                for key, value in asdict(one).items()
                if value is not None
            }
            for one in found.values()
        ]

    return json.dumps({"tokens": rows(known.tokens), "sessions": rows(known.sessions)}, indent=1)


def _parse(text: str) -> _Known:
    found = json.loads(text)
    return _Known(
        {row["id"]: _credential(row) for row in found["tokens"]},
        {row["id"]: _credential(row) for row in found["sessions"]},
    )


def _credential(row: dict[str, Any]) -> Credential:
    fields: dict[str, Any] = {
        key: dt.datetime.fromisoformat(value) if key.endswith("_at") else value
        for key, value in row.items()
    }
    return Credential(**fields)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_NOBODY: Final = _sha256("")
