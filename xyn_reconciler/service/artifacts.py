"""Artifacts: create, upload, list, read (seed 45.5)."""

import base64
import binascii
import datetime as dt
import uuid
from typing import BinaryIO

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.dto import ArtifactCreateRequest, ArtifactDto, Page
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.internal_events import ArtifactAttached, ArtifactCreated, internal_event
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.store import artifact_rows, desired, outbox, runs
from xyn_reconciler.store.database import Connection


def create_artifact(
    context: Context,
    actor: Principal,
    request: ArtifactCreateRequest,
    data: bytes | BinaryIO | None,
    *,
    correlation_id: str,
) -> ArtifactDto:
    """Announce an artifact; with ``data`` or ``content_base64`` its bytes are stored at once.

    Without bytes the answer's ``upload_url`` takes them (``PUT``).
    """
    if request.content_base64 is not None:
        try:
            data = base64.b64decode(request.content_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidError("content_base64 is not base64 (RFC 4648)") from error
    if isinstance(data, bytes) and request.byte_length not in {None, len(data)}:
        message = f"byte_length is {request.byte_length}, but {len(data)} bytes came"
        raise InvalidError(message)
    artifact = Artifact(
        artifact_id=new_id(),
        name=context.redactor.text(request.name),
        kind=context.redactor.text(request.kind),
        content_type=context.redactor.text(request.content_type),
        created_at=context.clock(),
        created_by=actor.id,
        byte_length=request.byte_length,
        run_id=request.run_id,
        step_id=request.step_id,
        metadata=context.redactor.value(request.metadata),
    )
    with context.database.begin() as connection:
        _check_owner(connection, artifact)
        artifact_rows.insert_artifact(connection, artifact)
        outbox.put(connection, "artifact", [artifact.artifact_id], artifact.created_at)
    if data is None:
        url = f"/api/v1/artifacts/{artifact.artifact_id}/upload"
        return _dto(artifact).model_copy(update={"upload_url": url})
    return upload_artifact(
        context, actor, artifact.artifact_id, data, correlation_id=correlation_id
    )


def upload_artifact(
    context: Context,
    actor: Principal,
    artifact_id: uuid.UUID,
    data: bytes | BinaryIO,
    *,
    correlation_id: str,
) -> ArtifactDto:
    """Store the bytes of an announced artifact; ``ConflictError`` if it has some already."""
    with context.database.read() as connection:
        announced = _known(connection, artifact_id)
        limits = desired.read_node(connection).settings["limits"]
    if announced.sha256 is not None:
        raise ConflictError(f"artifact {artifact_id} has its bytes already")
    sha256, length = context.artifacts.put(data, limit=int(limits["artifact_max"]))
    if announced.byte_length not in {None, length}:
        raise InvalidError(f"byte_length is {announced.byte_length}, but {length} bytes came")
    now = context.clock()
    with context.database.begin() as connection:
        if not artifact_rows.set_content(
            connection, artifact_id, sha256=sha256, byte_length=length
        ):
            raise ConflictError(f"artifact {artifact_id} has its bytes already")
        stored = _known(connection, artifact_id)
        _tell(context, connection, actor, stored, now, correlation_id)
        outbox.put(connection, "artifact", [artifact_id], now)
    return _dto(stored)


def list_artifacts(
    context: Context,
    *,
    limit: int = 50,
    cursor: str | None = None,
    run_id: uuid.UUID | None = None,
    kind: str | None = None,
) -> Page[ArtifactDto]:
    with context.database.read() as connection:
        return page(
            lambda most, before: artifact_rows.list_artifacts(
                connection, limit=most, before=before, run_id=run_id, kind=kind
            ),
            limit=limit,
            cursor=cursor,
            position=lambda artifact: (artifact.created_at, artifact.artifact_id),
            item=_dto,
        )


def get_artifact(context: Context, artifact_id: uuid.UUID) -> ArtifactDto:
    with context.database.read() as connection:
        return _dto(_known(connection, artifact_id))


def open_artifact(context: Context, artifact_id: uuid.UUID) -> tuple[ArtifactDto, BinaryIO]:
    """Give an artifact and its bytes, whose sha256 was verified; the caller closes the stream."""
    artifact = get_artifact(context, artifact_id)
    if artifact.sha256 is None:
        raise NotFoundError(f"the bytes of artifact {artifact_id} were never uploaded")
    return artifact, context.artifacts.open(artifact.sha256, verify=True)


def _known(connection: Connection, artifact_id: uuid.UUID) -> Artifact:
    artifact = artifact_rows.get_artifact(connection, artifact_id)
    if artifact is None:
        raise NotFoundError(f"no artifact {artifact_id}")
    return artifact


def _check_owner(connection: Connection, artifact: Artifact) -> None:
    """Refuse an artifact of a run or step that does not exist."""
    if artifact.run_id is not None and runs.get_run(connection, artifact.run_id) is None:
        raise NotFoundError(f"no run {artifact.run_id}")
    if artifact.step_id is not None:
        if artifact.run_id is None:
            raise InvalidError("a step_id needs its run_id")
        if artifact.step_id not in {
            s.step_id for s in runs.list_steps(connection, artifact.run_id)
        }:
            raise NotFoundError(f"run {artifact.run_id} has no step {artifact.step_id}")


def _tell(
    context: Context,
    connection: Connection,
    actor: Principal,
    artifact: Artifact,
    now: dt.datetime,
    correlation_id: str,
) -> None:
    facts: list[ArtifactCreated | ArtifactAttached] = [
        ArtifactCreated(
            name=artifact.name,
            kind=artifact.kind,
            sha256=artifact.sha256 or "",
            byte_length=artifact.byte_length or 0,
        )
    ]
    if artifact.run_id is not None:
        facts.append(
            ArtifactAttached(
                name=artifact.name,
                kind=artifact.kind,
                run_id=str(artifact.run_id),
                step_id=None if artifact.step_id is None else str(artifact.step_id),
            )
        )
    env_id = str(desired.read_node(connection).settings["env_id"])
    context.intake.emit(
        connection,
        [
            internal_event(
                fact,
                resource_id=str(artifact.artifact_id),
                env_id=env_id,
                now=now,
                correlation_id=correlation_id,
                actor=actor.id,
                run_id=artifact.run_id,
                step_id=artifact.step_id,
            )
            for fact in facts
        ],
    )


def _dto(artifact: Artifact) -> ArtifactDto:
    return ArtifactDto(
        artifact_id=artifact.artifact_id,
        name=artifact.name,
        kind=artifact.kind,
        content_type=artifact.content_type,
        byte_length=artifact.byte_length,
        created_at=artifact.created_at,
        created_by=artifact.created_by,
        run_id=artifact.run_id,
        step_id=artifact.step_id,
        sha256=artifact.sha256,
        metadata=artifact.metadata,
    )
