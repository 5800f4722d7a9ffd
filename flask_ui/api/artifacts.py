"""Artifacts over the API: create (at once or in two steps), list, show, download.

The trap: bytes that strangers made are given out from the address that the
pages have, so they always leave as an attachment in a sandbox.
"""

import base64
import re
import uuid
from typing import IO, BinaryIO, Final, cast

import flask
from pydantic import Field

from flask_ui import download, requests
from flask_ui.api.table import Answer, Bytes, Operation, PageQuery, json_body
from flask_ui.security import UnsupportedTypeError, actor
from flask_ui.state import context
from xyn_reconciler.model.dto import ArtifactCheckDto, ArtifactCreateRequest, ArtifactDto, Page
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.service import artifacts
from xyn_reconciler.trigger import json_body as reader


class ArtifactQuery(PageQuery):
    run_id: uuid.UUID | None = None
    kind: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._ -]{1,100}$")


MULTIPART_SCHEMA: Final = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"contentMediaType": "application/octet-stream"},
        "artifact": {
            "contentMediaType": "application/json",
            "description": "An ArtifactCreateRequest; name and type default to the file's.",
        },
    },
}


def create_artifact() -> Answer:
    if flask.request.mimetype == "multipart/form-data":
        return _create_from_form()
    request = requests.json_model(ArtifactCreateRequest)
    return _create(request, None)


def _create_from_form() -> Answer:
    uploaded = flask.request.files.get("file")
    if uploaded is None:
        raise InvalidError("a multipart request holds the bytes in a part named file")
    given = flask.request.form.get("artifact")
    described = {} if given is None else reader.read(given.encode("utf-8", "replace"))
    if not isinstance(described, dict):
        raise InvalidError("the part named artifact is a JSON object")
    described.setdefault("name", uploaded.filename or "file")
    described.setdefault("content_type", uploaded.mimetype or "application/octet-stream")
    request = requests.validated(ArtifactCreateRequest, described)
    return _create(request, _binary(uploaded.stream))


def _binary(stream: IO[bytes]) -> BinaryIO:
    """Give werkzeug's stream the name that the standard library's have."""
    return cast("BinaryIO", stream)


def _create(request: ArtifactCreateRequest, content: BinaryIO | None) -> Answer:
    created = artifacts.create_artifact(
        context(), actor(), request, content, correlation_id=flask.g.correlation_id
    )
    return created, 201


def _content_digest() -> str | None:
    """The sha256 in hex that ``Content-Digest`` asks for (RFC 9530), if it names that."""
    given = flask.request.headers.get("Content-Digest", "")
    found = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):", given)
    if given and found is None and "sha-256" in given:
        raise InvalidError("Content-Digest is not as in sha-256=:BASE64: (RFC 9530)")
    return None if found is None else base64.b64decode(found[1]).hex()


def upload_artifact(artifact_id: uuid.UUID) -> Answer:
    if flask.request.mimetype not in {"application/octet-stream", ""}:
        raise UnsupportedTypeError("send application/octet-stream")
    return artifacts.upload_artifact(
        context(),
        actor(),
        artifact_id,
        _binary(flask.request.stream),
        correlation_id=flask.g.correlation_id,
        sha256=_content_digest(),
    )


def list_artifacts(query: ArtifactQuery) -> Answer:
    return artifacts.list_artifacts(
        context(), limit=query.limit, cursor=query.cursor, run_id=query.run_id, kind=query.kind
    )


def get_artifact(artifact_id: uuid.UUID) -> Answer:
    return artifacts.get_artifact(context(), artifact_id)


def verify_artifact(artifact_id: uuid.UUID) -> Answer:
    return artifacts.verify_artifact(context(), artifact_id)


def download_artifact(artifact_id: uuid.UUID) -> Answer:
    return _given(*artifacts.open_artifact(context(), artifact_id))


def download_content(sha256: str) -> Answer:
    return _given(*artifacts.open_content(context(), sha256))


def _given(artifact: ArtifactDto, stream: BinaryIO) -> flask.Response:
    return download.attachment(
        stream,
        name=artifact.name,
        content_type=artifact.content_type,
        length=artifact.byte_length,
        etag=artifact.sha256,
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/artifacts",
        summary="Create an artifact; its bytes come along, or later to the `upload_url`.",
        tag="artifacts",
        view=create_artifact,
        body=json_body(ArtifactCreateRequest) | {"multipart/form-data": MULTIPART_SCHEMA},
        answers={201: ArtifactDto},
        errors=(404, 409, 507),
    ),
    Operation(
        method="GET",
        path="/artifacts",
        summary="List artifacts, newest first.",
        tag="artifacts",
        view=list_artifacts,
        query=ArtifactQuery,
        answers={200: Page[ArtifactDto]},
    ),
    Operation(
        method="GET",
        path="/artifacts/{artifact_id}",
        summary="Show one artifact.",
        tag="artifacts",
        view=get_artifact,
        answers={200: ArtifactDto},
    ),
    Operation(
        method="PUT",
        path="/artifacts/{artifact_id}/upload",
        summary="Send the bytes of an artifact that was created without them.",
        tag="artifacts",
        view=upload_artifact,
        body={"application/octet-stream": {}},
        answers={200: ArtifactDto},
        errors=(409, 507),
    ),
    Operation(
        method="GET",
        path="/artifacts/{artifact_id}/download",
        summary="Give an artifact's bytes; `Range` is understood.",
        tag="artifacts",
        view=download_artifact,
        answers={
            200: Bytes("The bytes, as an attachment."),
            206: Bytes("The part that Range asked for."),
        },
        errors=(410, 412, 416, 503),
    ),
    Operation(
        method="GET",
        path="/artifacts/{artifact_id}/verify",
        summary="Read an artifact's bytes, and say whether they are its own.",
        tag="artifacts",
        view=verify_artifact,
        answers={200: ArtifactCheckDto},
        errors=(503,),
    ),
    Operation(
        method="GET",
        path="/artifacts/by-sha256/{sha256}",
        summary="Give the bytes of a sha256: what a clone asks of its origin.",
        tag="artifacts",
        view=download_content,
        answers={
            200: Bytes("The bytes, as an attachment."),
            206: Bytes("The part that Range asked for."),
        },
        errors=(410, 412, 416, 503),
    ),
)
