"""Blueprints that are active here, and where they come from."""

import datetime as dt
import uuid
from typing import Any

from xyn_reconciler.model.dto import BlueprintDto, ConditionDto, Page, RevisionDto
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import Position, page
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.desired import Document
from xyn_reconciler.trigger.match import NodeView, names_node


def list_blueprints(
    context: Context, *, limit: int = 50, cursor: str | None = None
) -> Page[BlueprintDto]:
    """Those that changed last come first."""
    with context.database.read() as connection:
        settings = desired.read_node(connection).settings
        rows = desired.documents(connection, kinds=["blueprint"])
    newest = sorted(rows, key=_position, reverse=True)
    return page(
        lambda most, before: [r for r in newest if before is None or _position(r) < before][:most],
        limit=limit,
        cursor=cursor,
        position=_position,
        item=lambda row: _dto(row, settings),
    )


def get_blueprint(context: Context, blueprint_id: str) -> BlueprintDto:
    with context.database.read() as connection:
        return _dto(_known(connection, blueprint_id), desired.read_node(connection).settings)


def blueprint_history(context: Context, blueprint_id: str, *, limit: int = 50) -> list[RevisionDto]:
    """The commits that changed the blueprint's file, newest first."""
    with context.database.read() as connection:
        document = _known(connection, blueprint_id)
        revision = desired.read_node(connection).last_applied_revision or document.revision
    return [
        RevisionDto(
            revision=commit.sha,
            author=commit.author,
            message=commit.message,
            authored_at=commit.authored_at,
        )
        for commit in context.repository.log(revision, path=document.path, limit=limit)
    ]


def blueprint_source(context: Context, blueprint_id: str) -> str:
    """Give the blueprint's file as its author wrote it."""
    blueprint = get_blueprint(context, blueprint_id)
    return context.repository.read(blueprint.blob_id).decode("utf-8", "replace")


def _known(connection: Connection, blueprint_id: str) -> Document:
    document = desired.find_document(connection, "blueprint", blueprint_id)
    if document is None:
        raise NotFoundError(f"no blueprint {blueprint_id!r} is active; xynctl blueprint list")
    return document


def _position(row: Document) -> Position:
    """A blueprint's id is a name; lists are ordered by (time, uuid)."""
    applied_at = row.applied_at or dt.datetime.min.replace(tzinfo=dt.UTC)
    return applied_at, uuid.uuid5(uuid.NAMESPACE_OID, row.document_id)


def _dto(row: Document, settings: dict[str, Any]) -> BlueprintDto:
    document = row.document
    node = NodeView.from_settings(settings)
    return BlueprintDto(
        blueprint_id=row.document_id,
        name=document.get("name") or row.document_id,
        description=document.get("description"),
        path=row.path,
        blob_id=row.blob_id,
        revision=row.revision,
        applied_at=_position(row)[0],
        triggers=document.get("triggers", []),
        inputs=document.get("inputs", {}),
        live=names_node(document.get("nodes"), node) and settings.get("mode") == "active",
        conditions=[
            ConditionDto(
                type=c.type, status=c.status, reason=c.reason, message=c.message, since=c.since
            )
            for c in row.conditions
        ],
        document=document,
    )
