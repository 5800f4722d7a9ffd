"""Keep the reports of checks as artifacts (seed 9.3): each content once for a draft."""

import datetime as dt
import json
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.model.internal_events import ArtifactCreated, internal_event
from xyn_reconciler.model.run import canonical
from xyn_reconciler.store import artifact_rows, desired, outbox
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.reviews import Check, Review

KIND: Final = "review_report"


def keep(
    database: Database,
    artifacts: ArtifactStore,
    review: Review,
    check: str,
    report: Any,  # noqa: ANN401 - any JSON
    *,
    emit: EmitEvents,
    now: dt.datetime,
) -> uuid.UUID:
    """Store a report durably; gives the artifact's id, the same one for the same report.

    Raises what :meth:`ArtifactStore.put` raises where there is no room.
    """
    data = canonical(report)
    with database.read() as connection:
        settings = desired.read_node(connection).settings
    limits = settings.get("limits", {})
    sha256, length = artifacts.put(data, limit=int(limits.get("artifact_max", len(data))))
    artifact = Artifact(
        artifact_id=uuid.uuid5(review.draft_id, f"{check}:{sha256}"),
        name=f"{check}.json",
        kind=KIND,
        content_type="application/json",
        created_at=now,
        created_by=SYSTEM_ACTOR,
        byte_length=length,
        sha256=sha256,
        metadata={"draft_id": str(review.draft_id), "head": review.head, "check": check},
    )
    with database.begin() as connection:
        if artifact_rows.get_artifact(connection, artifact.artifact_id) is None:
            _insert(connection, artifact, str(settings.get("env_id", "local")), emit)
    return artifact.artifact_id


def with_reports(
    connection: Connection, artifacts: ArtifactStore, checks: Iterable[Check]
) -> list[Check]:
    """Give checks with their reports: after a rebuild rows have none, artifacts still do."""
    return [_with_report(connection, artifacts, check) for check in checks]


def _with_report(connection: Connection, artifacts: ArtifactStore, check: Check) -> Check:
    if check.report is not None or check.artifact_id is None:
        return check
    found = artifact_rows.get_artifact(connection, check.artifact_id)
    if found is None or found.sha256 is None or not artifacts.exists(found.sha256):
        return check
    with artifacts.open(found.sha256) as file:
        return replace(check, report=json.load(file))


def _insert(connection: Connection, artifact: Artifact, env_id: str, emit: EmitEvents) -> None:
    artifact_rows.insert_artifact(connection, artifact)
    outbox.put(connection, "artifact", [artifact.artifact_id], artifact.created_at)
    created = ArtifactCreated(
        name=artifact.name,
        kind=artifact.kind,
        sha256=artifact.sha256 or "",
        byte_length=artifact.byte_length or 0,
    )
    event = internal_event(
        created,
        resource_id=str(artifact.artifact_id),
        env_id=env_id,
        now=artifact.created_at,
        correlation_id=str(uuid.uuid4()),
    )
    emit(connection, [event])
