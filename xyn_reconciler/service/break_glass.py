"""The glass that the owner of a node may break, and the second person who signs it off.

Who has the node's home becomes Operator for a while, without being asked, and everybody is
told: in the audit, and on every page until somebody else has signed it off.
"""

import datetime as dt
import uuid
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.dto import Timestamp
from xyn_reconciler.model.errors import ConflictError, DeniedError, InvalidError, NotFoundError
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.kernel import may_approve
from xyn_reconciler.policy.rules import ANONYMOUS
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.identity import ROLE_OF_A_GRANT, refuse_all_but_the_owner
from xyn_reconciler.service.policy import denied
from xyn_reconciler.store import audit, grants
from xyn_reconciler.store.grants import Grant

LASTS: Final = dt.timedelta(minutes=15)

REASON_MAX: Final = 1000
"""Characters."""


class GrantDto(BaseModel):
    """A role that the owner took without being asked."""

    model_config = ConfigDict(extra="forbid")

    grant_id: uuid.UUID
    principal: str
    role: str
    reason: str
    created_at: Timestamp
    expires_at: Timestamp
    signed_off_by: str | None = None
    signed_off_at: Timestamp | None = None


def break_glass(context: Context, actor: Principal, reason: str) -> GrantDto:
    """Give the owner the role Operator for :data:`LASTS`, and everybody the news."""
    refuse_all_but_the_owner(context, actor, "break_glass.open", "breaks the glass")
    said = context.redactor.text(reason.strip())
    if not said or len(said) > REASON_MAX:
        raise InvalidError(f"say why, in at most {REASON_MAX} characters: --reason TEXT")
    now = context.clock()
    grant = Grant(
        grant_id=new_id(),
        principal=actor.id,
        role=ROLE_OF_A_GRANT,
        reason=said,
        created_at=now,
        expires_at=now + LASTS,
    )
    entry = {
        "principal": grant.principal,
        "role": grant.role,
        "reason": grant.reason,
        "expires_at": isoformat(grant.expires_at),
    }
    with context.database.begin() as connection:
        grants.insert_grant(connection, grant)
        audit.put(connection, [_told(grants.OPENED, actor, now, grant.grant_id, entry)])
    return _dto(grant)


def unsigned_grants(context: Context) -> list[GrantDto]:
    """Those that every page shows until a second person has signed them off."""
    with context.database.read() as connection:
        return [_dto(grant) for grant in grants.unsigned(connection)]


def sign_off(context: Context, actor: Principal, grant_id: uuid.UUID) -> GrantDto:
    """Say as a second person that one knows of it; no service or agent can.

    ``ConflictError`` where somebody has already.
    """
    with context.database.begin() as connection:
        grant = grants.get_grant(connection, grant_id, lock=True)
        if grant is None:
            raise NotFoundError(f"no break-glass {grant_id}")
        if not may_approve(actor) or actor.id == ANONYMOUS.id:
            why = f"a person signs off, and {actor.id} is of kind {actor.kind}"
            raise denied(context, actor, "break_glass.sign_off", why)
        if actor.id == grant.principal:
            raise DeniedError(f"a second person signs off, not {actor.id}, who broke the glass")
        if grant.signed_off_by is not None:
            raise ConflictError(f"{grant.signed_off_by} has signed it off already")
        now = context.clock()
        grants.sign_off(connection, grant_id, by=actor.id, now=now)
        audit.put(connection, [_told(grants.SIGNED_OFF, actor, now, grant_id, {})])
        signed = grants.get_grant(connection, grant_id) or grant
    return _dto(signed)


def _told(
    kind: str, actor: Principal, at: dt.datetime, grant_id: uuid.UUID, entry: dict[str, Any]
) -> AuditEntry:
    return AuditEntry(kind=kind, actor=actor.id, at=at, subject=str(grant_id), entry=entry)


def _dto(grant: Grant) -> GrantDto:
    return GrantDto(**{name: getattr(grant, name) for name in Grant.__slots__})
