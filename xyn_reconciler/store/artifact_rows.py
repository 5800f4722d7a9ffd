"""Rows of artifacts; the bytes are in :mod:`.artifacts`, under their sha256."""

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import func, insert, select, tuple_, update
from sqlalchemy.engine import RowMapping

from xyn_reconciler.model.artifact import Artifact
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
            metadata_=artifact.metadata,
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
            .values(sha256=sha256, byte_length=byte_length)
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


def stored_bytes(connection: Connection) -> int:
    """Bytes that the artifact store holds, equal content counted once."""
    distinct = select(ArtifactRow.sha256, func.max(ArtifactRow.byte_length).label("length")).where(
        ArtifactRow.sha256.is_not(None)
    )
    found = distinct.group_by(ArtifactRow.sha256).subquery()
    return int(connection.execute(select(func.coalesce(func.sum(found.c.length), 0))).scalar_one())


def _artifact(row: RowMapping) -> Artifact:
    values = dict(row)
    del values["record_commit"]
    return Artifact(**values)
