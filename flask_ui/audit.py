"""The audit's page: what was decided and moved, by whom, newest first."""

import re
from typing import Final

import flask

from flask_ui.api.audit import KINDS
from flask_ui.shell import PAGE_SIZE, argument, cursor, full_page
from flask_ui.state import context
from xyn_reconciler.service import audit as service

audit = flask.Blueprint("audit", __name__, url_prefix="/ui/audit")

GROUPS: Final = {
    "Moves": "ref",
    "Reviews": "review",
    "Policy": "policy",
    "Gates": "gate",
    "Secrets": "secret",
    "Break-glass": "break_glass",
    "Tokens": "token",
    "Sessions": "session",
    "Checkpoints": "checkpoint",
}
"""What a reader looks for, and what the kinds of it begin with."""


@audit.get("")
def show_list() -> flask.Response:
    asked, subject = argument("kind"), argument("subject")
    kind = asked if asked is not None and re.fullmatch(KINDS, asked) else None
    return full_page(
        "audit/list.html",
        entries=service.list_audit(
            context(), limit=PAGE_SIZE, cursor=cursor(), kind=kind, subject=subject
        ),
        groups=GROUPS,
        kind=kind,
        subject=subject,
        first_page=cursor() is None,
    )
