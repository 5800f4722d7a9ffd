"""Who acts: tokens, sessions, and the principals that they stand for.

What a token proves is an id; its kind, roles and teams are those of
``principals.yaml`` as it is in force now, so whoever is taken out there can do
nothing more with any token. Making, listing and revoking tokens is the right of
the home's owner, and of nobody that a policy could name.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.dto import Timestamp
from xyn_reconciler.model.errors import DeniedError, InvalidError, NotFoundError
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.policy.change import refused
from xyn_reconciler.policy.rules import ANONYMOUS, OWNER, RESERVED, Rules
from xyn_reconciler.service.context import Context, Ruled
from xyn_reconciler.store import audit, grants
from xyn_reconciler.store.credentials import Credential

ROLE_OF_A_GRANT: Final = "Operator"


class TokenDto(BaseModel):
    """A token, without what it proves itself with."""

    model_config = ConfigDict(extra="forbid")

    token_id: str
    principal: str
    created_at: Timestamp
    expires_at: Timestamp | None = None
    revoked_at: Timestamp | None = None
    holds: bool
    """Whether it proves anything now; its principal may be gone all the same."""


class NewTokenDto(TokenDto):
    """A token that was just made."""

    token: str
    """Its text, told this once."""


class SessionDto(BaseModel):
    """A sign-in of a browser."""

    model_config = ConfigDict(extra="forbid")

    session_id: str
    principal: str
    token_id: str
    created_at: Timestamp
    expires_at: Timestamp


# ── who is it? ───────────────────────────────────────────────────────────────────────────────────


def rules(context: Ruled) -> Rules:
    """Policies and principals in force; a second old at most, unless renewed."""
    return context.intake.recent(context.database).rules


def renew_rules(context: Context) -> None:
    """Have :func:`rules` give what is in force at this moment."""
    with context.database.read() as connection:
        context.intake.view(connection)


def principals(context: Context) -> Mapping[str, Principal]:
    """Everybody of the active ``principals.yaml``, by id."""
    return rules(context).principals


def owner(context: Context) -> Principal:
    """The home's owner: an operator where ``auth`` is open, else by break-glass alone."""
    if not rules(context).auth_required:
        return OPERATOR
    with context.database.read() as connection:
        granted = grants.open_grant(connection, OWNER, context.clock())
    return OWNER if granted is None else OPERATOR


def unnamed(context: Context) -> Principal:
    """Whoever brings nothing that says who it is."""
    return ANONYMOUS if rules(context).auth_required else OPERATOR


def principal_of_token(context: Context, text: str) -> Principal | None:
    """Give whom a token stands for.

    ``None`` for one that is unknown, expired or revoked, or whose principal is no more.
    """
    if context.credentials.is_owner_token(text):
        return owner(context)
    token = context.credentials.find_token(text, now=context.clock())
    return None if token is None else principals(context).get(token.principal)


def principal_of_session(context: Context, text: str) -> Principal | None:
    """Give whom a session's cookie stands for, as :func:`principal_of_token`."""
    session = context.credentials.find_session(text, now=context.clock())
    return None if session is None else principals(context).get(session.principal)


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


def create_token(
    context: Context, actor: Principal, principal_id: str, expires: dt.timedelta | None = None
) -> NewTokenDto:
    """Make a token for somebody of ``principals.yaml``; without ``expires`` until it is revoked."""
    refuse_all_but_the_owner(context, actor, "token.create", "makes tokens")
    now = context.clock()
    if expires is not None and expires <= dt.timedelta(0):
        raise InvalidError("a token has to hold for some time: --expires 30d")
    with context.database.begin() as connection:
        known = context.intake.view(connection).rules.principals
        if principal_id in RESERVED:
            raise InvalidError(f"{principal_id} is the node's own word: no token stands for it")
        if principal_id not in known:
            raise NotFoundError(
                f"no principal {principal_id!r} is active here; principals.yaml has"
                f" {', '.join(sorted(known)) or 'nobody'}"
            )
        text, token = context.credentials.create_token(
            principal_id, now=now, expires_at=None if expires is None else now + expires
        )
        until = None if token.expires_at is None else isoformat(token.expires_at)
        entry = {"token_id": token.id, "expires_at": until}
        audit.put(connection, [_told("token.created", actor, now, principal_id, entry)])
    return NewTokenDto(**_token(token, now), token=text)


def list_tokens(context: Context, actor: Principal) -> list[TokenDto]:
    """Every token that there was, the oldest first."""
    refuse_all_but_the_owner(context, actor, "token.list", "sees tokens")
    now = context.clock()
    return [TokenDto(**_token(token, now)) for token in context.credentials.tokens()]


def revoke_token(context: Context, actor: Principal, token_id: str) -> TokenDto:
    """End a token and every session that it opened; once more changes nothing."""
    refuse_all_but_the_owner(context, actor, "token.revoke", "revokes tokens")
    now = context.clock()
    with context.database.begin() as connection:
        token = context.credentials.revoke_token(token_id, now=now)
        entry = {"token_id": token.id}
        audit.put(connection, [_told("token.revoked", actor, now, token.principal, entry)])
    return TokenDto(**_token(token, now))


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


def open_session(context: Context, token: str) -> tuple[str, SessionDto]:
    """Sign a browser in with a token; gives the cookie's text, told this once."""
    now = context.clock()
    found = context.credentials.find_token(token, now=now)
    actor = None if found is None else principals(context).get(found.principal)
    if found is None or actor is None:
        raise DeniedError("this token is not known here: it expired, was revoked, or is another's")
    with context.database.begin() as connection:
        text, session = context.credentials.open_session(found, now=now)
        entry = {"session_id": session.id}
        audit.put(connection, [_told("session.opened", actor, now, actor.id, entry)])
    return text, _session(session)


def session_id_of(context: Context, text: str) -> str | None:
    """Give the id of the session that a cookie names, if it holds."""
    session = context.credentials.find_session(text, now=context.clock())
    return None if session is None else session.id


def list_sessions(context: Context, actor: Principal) -> list[SessionDto]:
    """The actor's own sessions, the newest first; all of them for the owner."""
    found = context.credentials.sessions(now=context.clock())
    return [_session(each) for each in found if actor.id in (OWNER.id, each.principal)]


def close_session(context: Context, actor: Principal, session_id: str) -> None:
    """End a session of one's own, or as the owner anybody's; ``NotFoundError`` for any other."""
    if session_id not in [each.session_id for each in list_sessions(context, actor)]:
        raise NotFoundError(f"you have no session {session_id}")
    with context.database.begin() as connection:
        session = context.credentials.close_session(session_id)
        entry = {"session_id": session.id}
        now = context.clock()
        audit.put(connection, [_told("session.closed", actor, now, session.principal, entry)])


def refuse_all_but_the_owner(context: Context, actor: Principal, action: str, does: str) -> None:
    """Raise ``DeniedError`` for anybody else, which the audit then tells."""
    if actor.id == OWNER.id:
        return
    why = f"the owner of the home {does}, on its own machine: not {actor.id}"
    with context.database.begin() as connection:
        audit.put(connection, [refused(actor, action, why, context.clock())])
    raise DeniedError(why)


def _told(
    kind: str, actor: Principal, at: dt.datetime, subject: str, entry: dict[str, Any]
) -> AuditEntry:
    return AuditEntry(kind=kind, actor=actor.id, at=at, subject=subject, entry=entry)


def _token(token: Credential, now: dt.datetime) -> dict[str, Any]:
    return {
        "token_id": token.id,
        "principal": token.principal,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "holds": token.holds(now),
    }


def _session(session: Credential) -> SessionDto:
    return SessionDto(
        session_id=session.id,
        principal=session.principal,
        token_id=session.token_id or "",
        created_at=session.created_at,
        expires_at=session.expires_at or session.created_at,
    )
