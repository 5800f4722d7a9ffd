"""Reviews: what is proposed, what it would change, what is in its way, and the button.

Every form works without a script. What is approved is the effect digest of the page
that was looked at, and what is promoted is its head: whatever changed since is refused
and shown again. The trap: all that a draft brings is the work of somebody whom nobody
has agreed with yet, so nothing of it reaches a page but escaped and bounded.
"""

import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

import flask
from werkzeug.wrappers import Response

from flask_ui import requests, review_view
from flask_ui.security import actor
from flask_ui.shell import PAGE_SIZE, argument, cursor, fragment, full_page
from flask_ui.state import context
from xyn_reconciler.model.dto import (
    CommentDto,
    CommentRequest,
    DraftCreateRequest,
    DraftDto,
    MovedDto,
    PromoteRequest,
    ReviewDecisionRequest,
    ReviewDto,
    RollbackRequest,
)
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError, XynError
from xyn_reconciler.service import blueprints, identity, review_page
from xyn_reconciler.service import reviews as service

reviews = flask.Blueprint("reviews", __name__, url_prefix="/ui")

SHOWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "open": {"open_only": True},
    "promoted": {"status": "promoted"},
    "all": {},
}
DECISIONS: Final[Mapping[str, Literal["approved", "rejected"]]] = {
    "approve": "approved",
    "reject": "rejected",
}
ASSESSED: Final = 20
"""Drafts of a list that are merged and judged for it, at some 20 ms each; the list polls."""

_ANYTHING: Final = 10**9


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


@reviews.get("/reviews")
def show_list() -> flask.Response:
    return full_page("reviews/list.html", **_listed())


@reviews.get("/reviews/_list")
def listing() -> flask.Response:
    return fragment("reviews/_list.html", **_listed())


def _listed() -> dict[str, Any]:
    which = argument("show") or "open"
    which = which if which in SHOWN else "open"
    drafts = service.list_drafts(context(), limit=PAGE_SIZE, cursor=cursor(), **SHOWN[which])
    return {
        "drafts": drafts,
        "known": {each.draft_id: _known(each) for each in drafts.items[:ASSESSED]},
        "which": which,
        "first_page": cursor() is None,
    }


def _known(draft: DraftDto) -> ReviewDto | str | None:
    """What the list says of an open draft; a sentence where it cannot even be merged."""
    if draft.closed_at is not None:
        return None
    try:
        return service.get_review(context(), actor(), str(draft.draft_id))
    except XynError as error:
        return error.message


# ── one review ───────────────────────────────────────────────────────────────────────────────────


@reviews.get("/reviews/<draft>")
def show(draft: str) -> flask.Response:
    return _page(draft)


@reviews.get("/reviews/<uuid:draft_id>/_review")
def part(draft_id: uuid.UUID) -> flask.Response:
    return fragment("reviews/_review.html", **_review(str(draft_id)))


@reviews.get("/reviews/<uuid:draft_id>/file")
def show_file(draft_id: uuid.UUID) -> flask.Response:
    """One file alone, however long its diff is."""
    values = _review(str(draft_id), most=_ANYTHING)
    path = argument("path")
    files = [each for each in values["files"] if each.path == path]
    if not files:
        raise NotFoundError(f"the draft does not change {path}")
    return full_page("reviews/file.html", **(values | {"files": files}))


def _page(
    draft: str, status: int = 200, error: str | None = None, comment: str = ""
) -> flask.Response:
    return full_page("reviews/detail.html", status, error=error, comment=comment, **_review(draft))


def _review(draft: str, most: int = review_view.LINES_SHOWN) -> dict[str, Any]:
    review = service.get_review(context(), actor(), draft)
    at = _place()
    places: list[tuple[str | None, int | None]] = [
        *((each.path, each.line) for each in review.findings),
        *((each.path, each.line) for each in review.comments),
        *([(at.path, at.line)] if at else []),
    ]
    keep: dict[str, set[int]] = {}
    for path, line in places:
        if path is not None and line is not None:
            keep.setdefault(path, set()).add(line)
    diffs = review_page.text_diffs(context(), review, keep)
    return {
        "review": review,
        "can": review_page.why_not(context(), actor(), review),
        "files": review_view.files(
            list(diffs.items()), review.findings, review.comments, most=most
        ),
        "changed": {each.path: each.change for each in review.files},
        "elsewhere": [each for each in review.findings if each.path not in diffs],
        "sides": {each.path: review_page.sides(context(), each) for each in review.conflicts},
        "kinds": {each.id: each.kind for each in identity.principals(context()).values()},
        "story": review_view.story(review),
        "dead": {each.decision_id: review_view.why_dead(each, review) for each in review.approvals},
        "effect_rows": review_view.effect_rows(review.effects),
        "at": at,
    }


def _place() -> CommentRequest | None:
    """The line that somebody is about to say something of, from the address."""
    path, line = argument("path"), argument("at")
    if path is None or line is None or not line.isascii() or not line.isdecimal():
        return None
    return CommentRequest.model_construct(text="", path=path, line=int(line[:7]))


# ── what may be done with it ─────────────────────────────────────────────────────────────────────


@reviews.post("/reviews/<uuid:draft_id>/decide")
def decide(draft_id: uuid.UUID) -> Response:
    """Approve or reject what was on the page, and nothing else."""

    def said(given: Mapping[str, str]) -> None:
        decision = DECISIONS.get(given.get("decision", ""))
        if decision is None:
            raise InvalidError("approve or reject")
        request = requests.validated(
            ReviewDecisionRequest,
            {
                "comment": given.get("comment", "").strip() or None,
                "effect_digest": given.get("effect_digest"),
            },
        )
        if request.effect_digest is None:
            raise InvalidError("say what was looked at: effect_digest")
        service.decide_review(context(), actor(), str(draft_id), decision, request)

    return _done(draft_id, said, "merge")


@reviews.post("/reviews/<uuid:draft_id>/comment")
def comment(draft_id: uuid.UUID) -> Response:
    def said(given: Mapping[str, str]) -> CommentDto:
        line = given.get("line", "")
        asked = {
            "text": given.get("comment", "").strip(),
            "path": given.get("path") or None,
            "line": int(line) if line.isascii() and line.isdecimal() else None,
        }
        request = requests.validated(CommentRequest, asked)
        return service.comment_draft(context(), actor(), str(draft_id), request)

    return _done(draft_id, said, "conversation")


@reviews.post("/reviews/<uuid:draft_id>/check")
def check(draft_id: uuid.UUID) -> Response:
    return _done(draft_id, lambda _: service.check_draft(context(), actor(), str(draft_id)))


@reviews.post("/reviews/<uuid:draft_id>/close")
def close(draft_id: uuid.UUID) -> Response:
    return _done(draft_id, lambda _: service.close_draft(context(), actor(), str(draft_id)))


@reviews.post("/reviews/<uuid:draft_id>/promote")
def promote(draft_id: uuid.UUID) -> Response:
    """Promote the head that was looked at."""

    def done(given: Mapping[str, str]) -> None:
        request = requests.validated(PromoteRequest, {"head": given.get("head")})
        _refuse_silence(service.promote_draft(context(), actor(), str(draft_id), request))

    return _done(draft_id, done)


def _refuse_silence(moved: MovedDto) -> None:
    """Raise where main moved and the node does not do what it says."""
    if not moved.applied:
        raise ConflictError(f"{moved.commit[:8]} is in main, but not active here: {moved.message}")


def _done(
    draft_id: uuid.UUID, act: Callable[[Mapping[str, str]], object], anchor: str | None = None
) -> Response:
    """Act and show the review again; what is in the way stands above it."""
    given = requests.form()
    try:
        done = act(given)
    except XynError as error:
        return _page(str(draft_id), error.http_status, error.message, given.get("comment", ""))
    if isinstance(done, CommentDto) and done.line is not None:
        anchor = f"comment-{done.comment_id}"
    to = flask.url_for("reviews.show", draft=draft_id, _anchor=anchor)
    return flask.redirect(to, HTTPStatus.SEE_OTHER)


# ── writing one in a browser ─────────────────────────────────────────────────────────────────────


@reviews.get("/drafts/new")
def new() -> flask.Response:
    return _editor({"name": argument("name") or "", "path": argument("path") or "blueprints/"})


@reviews.get("/blueprints/<name:blueprint_id>/edit")
def edit_blueprint(blueprint_id: str) -> flask.Response:
    """Begin a draft with one blueprint's file as it is active."""
    blueprint = blueprints.get_blueprint(context(), blueprint_id)
    text = blueprints.blueprint_source(context(), blueprint_id)
    name = f"change-{blueprint_id.rpartition('.')[2]}"
    return _editor({"name": name, "path": blueprint.path, "text": text}, fixed=("path",))


@reviews.get("/reviews/<uuid:draft_id>/edit")
def edit(draft_id: uuid.UUID) -> flask.Response:
    """Go on with a file of a draft."""
    draft = service.get_draft(context(), str(draft_id))
    path = argument("path") or ""
    text = review_page.file_at(context(), draft.head, path)
    if text is None:
        raise NotFoundError(f"draft/{draft.name} has no text {path} that a browser could edit")
    given = {"name": draft.name, "path": path, "text": text, "base": draft.head}
    return _editor(given, fixed=("name", "path"))


@reviews.post("/drafts")
def save() -> Response:
    """Commit one file to its branch, as a push would."""
    given = requests.form()
    text = given.get("text", "").replace("\r\n", "\n")
    asked = {
        "name": given.get("name", "").strip().removeprefix("draft/"),
        "kind": "blueprint",
        "content": {
            "files": {given.get("path", "").strip(): text if text.endswith("\n") else f"{text}\n"},
            "notes": given.get("notes", "").strip() or None,
        },
    }
    fixed = tuple(each for each in ("name", "path") if given.get(f"fixed_{each}") == "1")
    try:
        request = requests.validated(DraftCreateRequest, asked)
        _refuse_to_overwrite(request.name, given.get("base", ""))
        draft = service.create_draft(context(), actor(), request)
    except XynError as error:
        return _editor(given, fixed, error.message, error.http_status)
    return flask.redirect(flask.url_for("reviews.show", draft=draft.draft_id), HTTPStatus.SEE_OTHER)


def _refuse_to_overwrite(name: str, base: str) -> None:
    """Keep what came to a draft while somebody wrote; without ``base`` there was to be none yet."""
    try:
        draft = service.get_draft(context(), name)
    except NotFoundError:
        return
    if draft.closed_at is None and draft.head != base:
        raise ConflictError(
            f"draft/{name} has come to {draft.head[:8]} meanwhile: take another name, or open it"
            " and edit what it holds now",
        )


def _editor(
    given: Mapping[str, str],
    fixed: tuple[str, ...] = (),
    error: str | None = None,
    status: int = HTTPStatus.OK,
) -> flask.Response:
    return full_page("reviews/edit.html", status, given=given, fixed=fixed, error=error)


# ── taking one back ──────────────────────────────────────────────────────────────────────────────


@reviews.get("/rollback/<name:revision>")
def ask_rollback(revision: str) -> flask.Response:
    """Say what would be taken back, and ask whether it is meant."""
    return _rollback(revision)


@reviews.post("/rollback/<name:revision>")
def roll_back(revision: str) -> Response:
    requests.form()
    try:
        request = requests.validated(RollbackRequest, {"revision": revision})
        _refuse_silence(service.roll_back(context(), actor(), request))
    except XynError as error:
        return _rollback(revision, error.message, error.http_status)
    return flask.redirect(flask.url_for("reviews.show_list", show="promoted"), HTTPStatus.SEE_OTHER)


def _rollback(
    revision: str, error: str | None = None, status: int = HTTPStatus.OK
) -> flask.Response:
    commit = review_page.revision_of_main(context(), revision)
    return full_page("reviews/rollback.html", status, commit=commit, error=error)
