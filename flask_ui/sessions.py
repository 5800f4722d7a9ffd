"""Signing in: a token is exchanged for a cookie that no script reads and no other site sends.

The page stands open; everything else about it is refused like anything else. The
trap: where somebody goes next comes from the address, so only our own pages count.
"""

import re
from http import HTTPStatus
from typing import Final

import flask
from werkzeug.wrappers import Response

from flask_ui import answers, requests
from flask_ui.security import SESSION_COOKIE, actor
from flask_ui.shell import argument, full_page
from flask_ui.state import context
from xyn_reconciler.model.errors import DeniedError
from xyn_reconciler.service import identity

sessions = flask.Blueprint("sessions", __name__, url_prefix="/ui")

_OWN_PAGE: Final = re.compile(r"/ui/[\x21-\x5b\x5d-\x7e]*")


@sessions.get("/login")
def show_login() -> flask.Response:
    return _login(argument("next") or "")


@sessions.post("/login")
def login() -> Response:
    """Open a new session, whatever cookie came along: none that was there before is taken over."""
    given = requests.form()
    following = given.get("next", "")
    try:
        text, session = identity.open_session(context(), given.get("token", "").strip())
    except DeniedError as error:
        return _login(following, error.message, HTTPStatus.FORBIDDEN)
    to = following if _OWN_PAGE.fullmatch(following) else flask.url_for("events.show_list")
    answer = flask.redirect(to, HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        SESSION_COOKIE,
        text,
        expires=session.expires_at,
        path="/",
        secure=_is_https(),
        httponly=True,
        samesite="Strict",
    )
    return answer


@sessions.post("/logout")
def logout() -> Response:
    requests.form()
    found = identity.session_id_of(context(), flask.request.cookies.get(SESSION_COOKIE, ""))
    if found is not None:
        identity.close_session(context(), actor(), found)
    answer = flask.redirect(flask.url_for("sessions.show_login"), HTTPStatus.SEE_OTHER)
    answer.delete_cookie(
        SESSION_COOKIE, path="/", secure=_is_https(), httponly=True, samesite="Strict"
    )
    return answer


@sessions.get("/sessions")
def show_list() -> flask.Response:
    return full_page(
        "sessions/list.html",
        sessions=identity.list_sessions(context(), actor()),
        own=identity.session_id_of(context(), flask.request.cookies.get(SESSION_COOKIE, "")),
    )


@sessions.post("/sessions/<name:session_id>/revoke")
def revoke(session_id: str) -> Response:
    requests.form()
    identity.close_session(context(), actor(), session_id)
    return flask.redirect(flask.url_for("sessions.show_list"), HTTPStatus.SEE_OTHER)


def _login(following: str, error: str | None = None, status: int = HTTPStatus.OK) -> flask.Response:
    # Without the head of other pages: what the node does is for those who are signed in.
    return answers.page("sessions/login.html", status, following=following, error=error)


def _is_https() -> bool:
    return flask.request.is_secure or context().url.startswith("https:")
