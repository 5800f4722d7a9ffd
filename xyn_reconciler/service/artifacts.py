"""Artifacts: create, upload, list, read (seed 45.5)."""

import base64
import binascii
import datetime as dt
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO, Final, cast

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.dto import (
    ArtifactCheckDto,
    ArtifactCreateRequest,
    ArtifactDto,
    ArtifactState,
    Page,
)
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    XynError,
)
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.internal_events import ArtifactAttached, ArtifactCreated, internal_event
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.redaction import RefusingReader
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.store import artifact_claims, artifact_rows, desired, outbox, runs
from xyn_reconciler.store.artifacts import DamagedError, TooLargeError
from xyn_reconciler.store.database import Connection


class GoneError(XynError):
    """The bytes were taken out on purpose, for good (RFC 9110, section 15.5.11)."""

    code = "gone"
    http_status = 410
    exit_code = 3


def create_artifact(
    context: Context,
    actor: Principal,
    request: ArtifactCreateRequest,
    data: bytes | BinaryIO | None,
    *,
    correlation_id: str,
) -> ArtifactDto:
    """Announce an artifact; with ``data`` or ``content_base64`` its bytes are stored at once.

    Without bytes the answer's ``upload_url`` takes them (``PUT``). Where it cannot be made as
    asked, nothing of it is left.
    """
    if request.content_base64 is not None:
        try:
            data = base64.b64decode(request.content_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidError("content_base64 is not base64 (RFC 4648)") from error
    metadata = context.redactor.value(request.metadata)
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
        metadata=metadata,
        retention=_class(metadata),
    )
    with context.database.read() as connection:
        _check_owner(connection, artifact)
    most = largest(context)
    if request.byte_length is not None and request.byte_length > most:
        raise TooLargeError(f"an artifact holds at most {most} bytes here", details={"limit": most})
    if data is not None:
        sha256, length = _put(context, data, byte_length=request.byte_length)
        artifact = replace(artifact, sha256=sha256, byte_length=length)
    with context.database.begin() as connection:
        artifact_rows.insert_artifact(connection, artifact)
        if artifact.sha256 is not None:
            _tell(context, connection, actor, artifact, artifact.created_at, correlation_id)
        outbox.put(connection, "artifact", [artifact.artifact_id], artifact.created_at)
    if data is not None:
        return _dto(artifact)
    url = f"/api/v1/artifacts/{artifact.artifact_id}/upload"
    return _dto(artifact).model_copy(update={"upload_url": url})


def upload_artifact(
    context: Context,
    actor: Principal,
    artifact_id: uuid.UUID,
    data: bytes | BinaryIO,
    *,
    correlation_id: str,
    sha256: str | None = None,
) -> ArtifactDto:
    """Store the bytes of an announced artifact; ``ConflictError`` if it has some already.

    ``DeniedError`` for anybody but who announced it: by that name it is known.

    ``sha256`` and the announced length are what they have to be: nothing is kept of others.
    """
    with context.database.read() as connection:
        announced = _known(connection, artifact_id)
    if announced.created_by != actor.id:
        raise DeniedError(f"{announced.created_by} announced artifact {artifact_id}, and brings it")
    if announced.sha256 is not None:
        raise ConflictError(f"artifact {artifact_id} has its bytes already")
    kept, length = _put(context, data, byte_length=announced.byte_length, sha256=sha256)
    now = context.clock()
    with context.database.begin() as connection:
        if not artifact_rows.set_content(connection, artifact_id, sha256=kept, byte_length=length):
            raise ConflictError(f"artifact {artifact_id} has its bytes already")
        stored = _known(connection, artifact_id)
        _tell(context, connection, actor, stored, now, correlation_id)
        outbox.put(connection, "artifact", [artifact_id], now)
    return _dto(stored)


def largest(context: Context) -> int:
    """Most bytes of one artifact here."""
    with context.database.read() as connection:
        limits = desired.read_node(connection).settings.get("limits")
    return 0 if limits is None else int(limits["artifact_max"])


def _put(
    context: Context,
    data: bytes | BinaryIO,
    *,
    byte_length: int | None,
    sha256: str | None = None,
) -> tuple[str, int]:
    """Keep bytes that are what was said of them; sha256 and length."""

    def check(found: str, length: int) -> None:
        if byte_length not in {None, length}:
            raise InvalidError(f"byte_length is {byte_length}, but {length} bytes came")
        if sha256 not in {None, found}:
            raise InvalidError(f"bytes with the sha256 {found} came, and not with {sha256}")

    stream = BytesIO(data) if isinstance(data, bytes) else data
    clean = cast("BinaryIO", RefusingReader(stream, context.redactor))
    return context.artifacts.put(clean, limit=largest(context), check=check)


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
    """Give an artifact and its bytes, whose sha256 was verified; the caller closes the stream.

    Those that only the origin has are brought from there, and kept. Raises ``NotFoundError``
    where nobody has them, :class:`GoneError` where ``retention`` took them, ``DamagedError``
    and ``UnavailableError`` (of the origin, or of the bucket).
    """
    with context.database.read() as connection:
        artifact = _known(connection, artifact_id)
    if artifact.sha256 is None:
        raise NotFoundError(f"the bytes of artifact {artifact_id} were never uploaded")
    return _dto(artifact), _open(context, artifact)


def open_content(context: Context, sha256: str) -> tuple[ArtifactDto, BinaryIO]:
    """As :func:`open_artifact`, of an artifact with these bytes. Never asks an origin."""
    with context.database.read() as connection:
        artifact = artifact_rows.of_content(connection, sha256)
    if artifact is None:
        raise NotFoundError(f"no artifact has the content {sha256}")
    return _dto(artifact), _open(replace(context, origin_bytes=None), artifact)


def verify_artifact(context: Context, artifact_id: uuid.UUID) -> ArtifactCheckDto:
    """Read an artifact's bytes where they are kept, and say whether they are its own."""
    with context.database.read() as connection:
        artifact = _known(connection, artifact_id)
    state, message = _state(context, artifact)
    return ArtifactCheckDto(
        artifact_id=artifact_id, sha256=artifact.sha256, state=state, message=message
    )


def _state(context: Context, artifact: Artifact) -> tuple[ArtifactState, str | None]:
    if artifact.sha256 is None:
        return "announced", "its bytes were never uploaded"
    if artifact.deleted_at is not None:
        return "gone", _gone(artifact)
    try:
        context.artifacts.verify(artifact.sha256)
    except DamagedError as error:
        return "damaged", error.message
    except NotFoundError:
        away = context.origin_bytes is not None
        return ("elsewhere", _AT_ORIGIN) if away else ("missing", _missing(artifact))
    return "whole", None


def _open(context: Context, artifact: Artifact) -> BinaryIO:
    """Open bytes that were uploaded once."""
    sha256 = artifact.sha256 or ""
    if artifact.deleted_at is not None:
        raise GoneError(_gone(artifact))
    try:
        return context.artifacts.open(sha256, verify=True)
    except NotFoundError:
        if context.origin_bytes is None:
            raise NotFoundError(_missing(artifact)) from None
    _bring(context, artifact, context.origin_bytes)
    return context.artifacts.open(sha256, verify=True)


def _bring(
    context: Context,
    artifact: Artifact,
    origin_bytes: Callable[[str], AbstractContextManager[BinaryIO]],
) -> None:
    """Keep here what only the origin has; raises where it gives other bytes."""
    sha256 = artifact.sha256 or ""

    others = UnavailableError(f"the origin gave other bytes than those of {sha256}: try again")

    def check(found: str, _length: int) -> None:
        if found != sha256:
            raise others

    with origin_bytes(sha256) as stream:
        try:
            # The origin's node allowed its length: a limit here is for what is made here.
            context.artifacts.put(stream, limit=artifact.byte_length or 0, check=check)
        except TooLargeError:
            raise others from None
    with context.database.begin() as connection:
        artifact_claims.note_here(connection, sha256)


def _gone(artifact: Artifact) -> str:
    return (
        f"the bytes of artifact {artifact.artifact_id} went on {artifact.deleted_at:%Y-%m-%d}, as"
        f" retention in node.yaml says of {artifact.retention or artifact.kind!r}; that there were"
        " some, and their sha256, stays known"
    )


def _missing(artifact: Artifact) -> str:
    return (
        f"the bytes of artifact {artifact.artifact_id} are not here any more: bring"
        f" {artifact.sha256} back from a backup of artifacts/ (docs/how-to/back-up-and-restore.md)"
    )


_AT_ORIGIN: Final = "its bytes come from the origin when somebody asks for them"


def _class(metadata: dict[str, Any]) -> str | None:
    """The class that says how long the bytes stay, where the metadata names one."""
    found = metadata.get("retention")
    return found if isinstance(found, str) else None


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
        deleted_at=artifact.deleted_at,
    )
