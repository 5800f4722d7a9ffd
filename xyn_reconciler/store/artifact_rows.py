"""Rows of artifacts; the bytes are in :mod:`.artifacts`, under their sha256."""

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.engine import RowMapping

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import ArtifactRow

_COLUMNS = tuple(ArtifactRow.__table__.columns)


def insert_artifact(connection: Connection, artifact: Artifact) -> None:
    connection.execute(
        insert(ArtifactRow).values(
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
            retention=artifact.retention,
        )
    )


def set_content(
    connection: Connection, artifact_id: uuid.UUID, *, sha256: str, byte_length: int
) -> bool:
    """Note the bytes of an artifact that was announced; False if it has some already."""
    return (
        connection.execute(
            update(ArtifactRow)
            .where(ArtifactRow.artifact_id == artifact_id, ArtifactRow.sha256.is_(None))
            .values(sha256=sha256, byte_length=byte_length, here=True)
        ).rowcount
        == 1
    )


def get_artifact(connection: Connection, artifact_id: uuid.UUID) -> Artifact | None:
    row = connection.execute(
        select(*_COLUMNS).where(ArtifactRow.artifact_id == artifact_id)
    ).one_or_none()
    return None if row is None else _artifact(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def list_artifacts(
    connection: Connection,
    *,
    limit: int,
    before: tuple[dt.datetime, uuid.UUID] | None = None,
    run_id: uuid.UUID | None = None,
    kind: str | None = None,
) -> Sequence[Artifact]:
    """Newest first by (created_at, artifact_id)."""
    query = (
        select(*_COLUMNS)
        .order_by(ArtifactRow.created_at.desc(), ArtifactRow.artifact_id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(tuple_(ArtifactRow.created_at, ArtifactRow.artifact_id) < before)
    if run_id is not None:
        query = query.where(ArtifactRow.run_id == run_id)
    if kind is not None:
        query = query.where(ArtifactRow.kind == kind)
    return [_artifact(row) for row in connection.execute(query).mappings()]


def of_content(connection: Connection, sha256: str) -> Artifact | None:
    """Give an artifact with these bytes, one whose bytes are kept before all others."""
    row = connection.execute(
        select(*_COLUMNS)
        .where(ArtifactRow.sha256 == sha256)
        .order_by(ArtifactRow.deleted_at.is_not(None), ArtifactRow.created_at)
        .limit(1)
    ).one_or_none()
    return None if row is None else _artifact(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def newest_of_step(connection: Connection, step_id: uuid.UUID, name: str) -> Artifact | None:
    """Give what a step kept under a name, the last time that it did.

    What somebody has put beside it by the API is not the step's.
    """
    row = connection.execute(
        select(*_COLUMNS)
        .where(
            ArtifactRow.step_id == step_id,
            ArtifactRow.name == name,
            ArtifactRow.created_by == SYSTEM_ACTOR,
        )
        .order_by(ArtifactRow.created_at.desc(), ArtifactRow.artifact_id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _artifact(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def _artifact(row: RowMapping) -> Artifact:
    values = dict(row)
    del values["record_commit"], values["here"]
    return Artifact(**values)
