"""What is active here: the node's one row, and the documents that the reconciler made active.

``reconcile`` writes them in one transaction per revision; ``trigger`` and pages
read them. ``node.applied_sequence`` goes up with each applied revision, and a
document carries the one at which it last changed, so that a cache reads what is
newer than its own number and nothing else.

The trap: a transaction that applies a revision sees its own rows before they are
committed, and they may be rolled back; :attr:`NodeState.uncommitted` says so,
and nobody may cache what was read then.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert

from xyn_reconciler.model.condition import Condition, ConditionType
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_text import dumps
from xyn_reconciler.store.pipeline import send
from xyn_reconciler.store.tables import DocumentRow, NodeRow


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """The row of this node."""

    node_id: str
    database_id: uuid.UUID
    last_applied_revision: str | None
    last_attempted_revision: str | None
    applied_at: dt.datetime | None
    attempted_at: dt.datetime | None
    applied_sequence: int
    settings: dict[str, Any]
    """As ``reconcile.node_settings`` makes them; empty before the first revision is applied."""
    conditions: tuple[Condition, ...]
    uncommitted: str | None
    """The id of the asking transaction, if it has written this row; see :func:`committed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file that is active, or was."""

    path: str
    kind: str
    document_id: str
    blob_id: str
    document: Any
    reference_positions: list[Any] = field(default_factory=list)
    conditions: tuple[Condition, ...] = ()
    revision: str = ""
    sequence: int = 0
    active: bool = True
    applied_at: dt.datetime | None = None


def condition_to_json(condition: Condition) -> dict[str, Any]:
    return {**asdict(condition), "since": isoformat(condition.since)}


def condition_from_json(value: Mapping[str, Any]) -> Condition:
    return Condition(
        type=value["type"],
        status=value["status"],
        reason=value["reason"],
        message=value["message"],
        since=dt.datetime.fromisoformat(value["since"]),
    )


def ensure_node(connection: Connection, node_id: str) -> NodeState:
    """Give the node's row, made now if this database is new; an existing one keeps its node id."""
    connection.execute(
        insert(NodeRow)
        .values(node_id=node_id, database_id=uuid.uuid4(), conditions=[])
        .on_conflict_do_nothing()
    )
    return read_node(connection)


def read_node(connection: Connection, *, lock: bool = False) -> NodeState:
    """Give the node's row; with ``lock``, nobody else applies until the transaction ends."""
    question = select(
        NodeRow.node_id,
        NodeRow.database_id,
        NodeRow.last_applied_revision,
        NodeRow.last_attempted_revision,
        NodeRow.applied_at,
        NodeRow.attempted_at,
        NodeRow.applied_sequence,
        NodeRow.settings,
        NodeRow.conditions,
        _OWN_TRANSACTION,
    )
    row = connection.execute(question.with_for_update() if lock else question).one()
    return NodeState(
        node_id=row[0],
        database_id=row[1],
        last_applied_revision=row[2],
        last_attempted_revision=row[3],
        applied_at=row[4],
        attempted_at=row[5],
        applied_sequence=row[6],
        settings=row[7] or {},
        conditions=tuple(map(condition_from_json, row[8])),
        uncommitted=row[9],
    )


def committed(connection: Connection, transaction: str) -> bool:
    """Whether a transaction, named as :attr:`NodeState.uncommitted` names it, was committed."""
    status = text("SELECT pg_xact_status(CAST(CAST(:transaction AS text) AS xid8))")
    found: str | None = connection.execute(status, {"transaction": transaction}).scalar_one()
    return found == "committed"


def documents(
    connection: Connection, *, since: int | None = None, kinds: Sequence[str] | None = None
) -> list[Document]:
    """Give the active ones by path; with ``since``, those changed after it, retired ones too."""
    question = select(*_DOCUMENT).order_by(DocumentRow.path)
    if since is None:
        question = question.where(DocumentRow.status == "active")
    else:
        question = question.where(DocumentRow.sequence > since)
    if kinds is not None:
        question = question.where(DocumentRow.kind.in_(kinds))
    return [_document(tuple(row)) for row in connection.execute(question)]


def blobs(connection: Connection) -> dict[str, str]:
    """Path to blob of everything that is active: the observed state."""
    rows = connection.execute(
        select(DocumentRow.path, DocumentRow.blob_id).where(DocumentRow.status == "active")
    )
    return {path: blob for path, blob in rows}  # noqa: C416 - rows are not tuples to mypy


def document_conditions(connection: Connection, kind: str) -> dict[str, tuple[Condition, ...]]:
    """Path to conditions of the active documents of a kind."""
    rows = connection.execute(
        select(DocumentRow.path, DocumentRow.conditions).where(
            DocumentRow.kind == kind, DocumentRow.status == "active"
        )
    )
    return {path: tuple(map(condition_from_json, conditions)) for path, conditions in rows}


def save_document_conditions(
    connection: Connection, conditions: Mapping[str, Iterable[Condition]]
) -> None:
    """Put conditions at documents, which are not counted as changed by it."""
    if conditions:
        connection.execute(
            update(DocumentRow)
            .where(DocumentRow.path == bindparam("at"))
            .values(conditions=bindparam("now_true", type_=DocumentRow.conditions.type)),
            [
                {"at": path, "now_true": [condition_to_json(each) for each in given]}
                for path, given in conditions.items()
            ],
        )


def position(connection: Connection) -> tuple[uuid.UUID, int]:
    """Give the node's database and how many revisions were applied in it; cheaper than its row."""
    ((database_id, sequence),) = send(connection, [(_POSITION, ())])
    return database_id, sequence


_POSITION: Final = b"SELECT database_id, applied_sequence FROM node"


def find_document(connection: Connection, kind: str, document_id: str) -> Document | None:
    """Give the active document of this identity."""
    row = connection.execute(
        select(*_DOCUMENT).where(
            DocumentRow.kind == kind,
            DocumentRow.document_id == document_id,
            DocumentRow.status == "active",
        )
    ).one_or_none()
    return None if row is None else _document(tuple(row))


def apply_documents(
    connection: Connection,
    *,
    upserts: Sequence[Document],
    retired: Iterable[str],
    revision: str,
    sequence: int,
    now: dt.datetime,
) -> None:
    """Make documents active and retire others; ``revision`` and ``sequence`` are noted at each."""
    leaving = [*retired, *(document.path for document in upserts)]
    if leaving:
        # All of them first, also those that come back at once: two files may swap their ids,
        # and an identity is active once at any moment.
        connection.execute(
            update(DocumentRow)
            .where(DocumentRow.path.in_(leaving), DocumentRow.status == "active")
            .values(status="retired", revision=revision, sequence=sequence, applied_at=now)
        )
    if upserts:
        connection.execute(
            _UPSERT,
            {
                "path": [document.path for document in upserts],
                "kind": [document.kind for document in upserts],
                "document_id": [document.document_id for document in upserts],
                "blob_id": [document.blob_id for document in upserts],
                "document": [dumps(document.document) for document in upserts],
                "positions": [dumps(document.reference_positions) for document in upserts],
                "conditions": [
                    dumps([condition_to_json(c) for c in document.conditions])
                    for document in upserts
                ],
                "revision": revision,
                "sequence": sequence,
                "now": now,
            },
        )


def save_applied(
    connection: Connection,
    *,
    revision: str,
    sequence: int,
    settings: Mapping[str, Any],
    conditions: Iterable[Condition],
    now: dt.datetime,
) -> None:
    """Note that a revision is active, which it is when the transaction commits."""
    connection.execute(
        update(NodeRow).values(
            last_applied_revision=revision,
            last_attempted_revision=revision,
            applied_at=now,
            attempted_at=now,
            applied_sequence=sequence,
            settings=dict(settings),
            conditions=[condition_to_json(condition) for condition in conditions],
        )
    )


def save_attempted(
    connection: Connection, *, revision: str, conditions: Iterable[Condition], now: dt.datetime
) -> None:
    """Note that a revision was looked at and refused; what was active stays active."""
    connection.execute(
        update(NodeRow).values(
            last_attempted_revision=revision,
            attempted_at=now,
            conditions=[condition_to_json(condition) for condition in conditions],
        )
    )


def set_condition(connection: Connection, condition: Condition) -> None:
    """Put one condition of the node in the place of the one of its type."""
    before = read_node(connection, lock=True).conditions
    after = with_condition(before, condition)
    if after != before:
        connection.execute(
            update(NodeRow).values(conditions=[condition_to_json(each) for each in after])
        )


def drop_condition(connection: Connection, kind: ConditionType) -> None:
    """Take a condition of the node away: nobody asks for it any more."""
    before = read_node(connection, lock=True).conditions
    after = [each for each in before if each.type != kind]
    if len(after) < len(before):
        connection.execute(
            update(NodeRow).values(conditions=[condition_to_json(each) for each in after])
        )


def with_condition(conditions: Iterable[Condition], condition: Condition) -> tuple[Condition, ...]:
    """Replace the condition of this type; one whose status did not change keeps its ``since``."""
    known = {each.type: each for each in conditions}
    old = known.get(condition.type)
    if old is not None and old.status == condition.status:
        condition = replace(condition, since=old.since)
    return tuple((known | {condition.type: condition}).values())


_OWN_TRANSACTION: ColumnElement[str | None] = literal_column(
    "CASE WHEN xmin = pg_current_xact_id_if_assigned()::xid"
    " THEN pg_current_xact_id_if_assigned()::text END"
)

_DOCUMENT = (
    DocumentRow.path,
    DocumentRow.kind,
    DocumentRow.document_id,
    DocumentRow.blob_id,
    DocumentRow.document,
    DocumentRow.reference_positions,
    DocumentRow.conditions,
    DocumentRow.revision,
    DocumentRow.sequence,
    DocumentRow.status,
    DocumentRow.applied_at,
)

_UPSERT = text(
    "INSERT INTO documents (path, kind, document_id, blob_id, document, reference_positions,"
    " conditions, revision, sequence, status, applied_at)"
    " SELECT path, kind, id, blob, CAST(document AS json), CAST(positions AS json),"
    " CAST(conditions AS json), :revision, CAST(:sequence AS bigint), 'active',"
    " CAST(:now AS timestamptz)"
    " FROM unnest(CAST(:path AS text[]), CAST(:kind AS text[]), CAST(:document_id AS text[]),"
    " CAST(:blob_id AS text[]), CAST(:document AS text[]), CAST(:positions AS text[]),"
    " CAST(:conditions AS text[]))"
    " AS new (path, kind, id, blob, document, positions, conditions)"
    " ON CONFLICT (path) DO UPDATE SET kind = excluded.kind, document_id = excluded.document_id,"
    " blob_id = excluded.blob_id, document = excluded.document,"
    " reference_positions = excluded.reference_positions, conditions = excluded.conditions,"
    " revision = excluded.revision, sequence = excluded.sequence, status = excluded.status,"
    " applied_at = excluded.applied_at"
)


def _document(row: Sequence[Any]) -> Document:
    return Document(
        path=row[0],
        kind=row[1],
        document_id=row[2],
        blob_id=row[3],
        document=row[4],
        reference_positions=row[5],
        conditions=tuple(map(condition_from_json, row[6])),
        revision=row[7],
        sequence=row[8],
        active=row[9] == "active",
        applied_at=row[10],
    )
