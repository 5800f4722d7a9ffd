"""Artifacts: the browser and one artifact's page (seed 44.1)."""

import uuid
from typing import Any, Final

import flask

from flask_ui.shell import PAGE_SIZE, argument, cursor, fragment, full_page
from flask_ui.state import context
from xyn_reconciler.model.dto import ArtifactDto
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.service import artifacts as service

artifacts = flask.Blueprint("artifacts", __name__, url_prefix="/ui/artifacts")

SHOWN: Final = 32 * 1024
"""Bytes of a text that its page shows; the whole is a download."""
_LARGEST: Final = 1024 * 1024
"""Bytes that a page may read and verify for it."""
_TEXT: Final = ("text/", "application/x-ndjson", "application/json")


@artifacts.get("")
def show_list() -> flask.Response:
    return full_page("artifacts/list.html", **_listed())


@artifacts.get("/_list")
def listing() -> flask.Response:
    return fragment("artifacts/_list.html", **_listed())


def _listed() -> dict[str, Any]:
    kind = argument("kind")
    return {
        "artifacts": service.list_artifacts(context(), limit=PAGE_SIZE, cursor=cursor(), kind=kind),
        "kind": kind,
        "first_page": cursor() is None,
    }


@artifacts.get("/<uuid:artifact_id>")
def show(artifact_id: uuid.UUID) -> flask.Response:
    artifact = service.get_artifact(context(), artifact_id)
    return full_page("artifacts/detail.html", artifact=artifact, text=_text(artifact), shown=SHOWN)


def _text(artifact: ArtifactDto) -> str | None:
    """How a text begins, where its bytes are here: a page waits for no origin."""
    if artifact.sha256 is None or not artifact.content_type.startswith(_TEXT):
        return None
    if artifact.deleted_at is not None or (artifact.byte_length or 0) > _LARGEST:
        return None
    try:
        _, stream = service.open_content(context(), artifact.sha256)
    except XynError:  # gone, damaged, elsewhere: the download says which
        return None
    with stream:
        return stream.read(SHOWN).decode("utf-8", "replace")
