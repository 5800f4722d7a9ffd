"""A node that asks everybody who they are, with the template's rules and people."""

import base64
import datetime as dt
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import BLUEPRINT, SOURCE, Web
from xyn_reconciler.policy.rules import OWNER
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.service.identity import create_token
from xyn_reconciler.store import audit
from xyn_reconciler.store.git import MAIN
from xyn_reconciler.template import template_files

NODE = """\
id: seed
env_id: local
mode: active
stage: {stage}
auth: {auth}
"""
PRINCIPALS = b"""\
principals:
  - {id: ada, kind: person, roles: [Operator]}
  - {id: grace, kind: person, roles: [OwnerAdmin]}
  - {id: bot, kind: agent, roles: [Operator, OwnerAdmin]}
  - {id: pager, kind: service, roles: [Operator]}
"""


@dataclass(frozen=True, slots=True)
class Guarded:
    web: Web

    def token(self, principal: str, expires: dt.timedelta | None = None) -> str:
        return create_token(self.web.context, OWNER, principal, expires).token

    def acting(self, principal: str) -> dict[str, str]:
        """Headers of a request by somebody."""
        return bearer(self.token(principal))

    def owner(self) -> dict[str, str]:
        self.web.context.credentials.renew_owner_token()
        return bearer(str(self.web.context.credentials.owner_token()))

    def client(self) -> FlaskClient:
        return self.web.client()

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        """Audit entries of some kinds, the newest first, with who and what."""
        with self.web.context.database.read() as connection:
            found = audit.list_entries(connection, limit=50, kinds=kinds)
        return [{"kind": e.kind, "actor": e.actor, "subject": e.subject, **e.entry} for e in found]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, token: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{token}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def guard(
    empty: Web, *, stage: str = "dev", auth: str = "required", house: bytes | None = None
) -> Guarded:
    """Apply the template's policies on a node, and a ``house`` rule that comes before them."""
    template = {path: content for path, content in template_files() if path.startswith("policies/")}
    more = {} if house is None else {"policies/house.yaml": house}
    empty.context.repository.commit_files(
        MAIN,
        expected=None,
        changes={
            "node.yaml": NODE.format(stage=stage, auth=auth).encode(),
            "principals.yaml": PRINCIPALS,
            "blueprints/greet.yaml": BLUEPRINT,
            "sources/plain.yaml": SOURCE,
            **template,
            **more,
        },
        message="Begin\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    judgement = empty.context.reconciler.reconcile()
    assert judgement is not None
    assert not judgement.problems, judgement.problems
    return Guarded(empty)
