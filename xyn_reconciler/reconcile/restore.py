"""Put desired state back into an empty database, as it was and without a word about it.

After a rebuild the index knows again what happened; this makes active again
what was active. The node's own record says which revisions it applied, and
when; the repository says what stood in them. So the rows come back as they
were, and the reconciler finds nothing to do and nothing to tell.

What no record holds: the moment of later looks at a refused revision
(``attempted_at``), conditions of the node that another room set, and since when
a document is ``NotRunnable`` where that came by a change of another file.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from xyn_reconciler.desired.load import Loaded, kind_of, load
from xyn_reconciler.desired.validate import DesiredState, not_runnable
from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.reconcile import apply as shell
from xyn_reconciler.reconcile.node_settings import Settings, settings_of
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.desired import Document
from xyn_reconciler.store.git import Repository


@dataclass(frozen=True, slots=True)
class Looked:
    """A revision that this node looked at; ``problems`` is ``None`` if it was applied."""

    revision: str
    at: dt.datetime
    problems: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path got to: its last content, and when and by which revision that came."""

    path: str
    blob_id: str
    revision: str
    sequence: int
    at: dt.datetime
    retired: "tuple[str, int, dt.datetime] | None" = None
    """Revision, sequence and moment that took it out of service."""


def restore(
    connection: Connection,
    repository: Repository,
    catalogue: Catalogue,
    history: Sequence[Looked],
) -> bool:
    """Make active what ``history`` (oldest first) says; whether anything was.

    A node that has applied something already is left alone, and so is one
    whose last revision the repository has lost: the reconciler then begins anew.
    """
    node = desired.read_node(connection, lock=True)
    applied = [looked for looked in history if looked.problems is None]
    if (
        node.last_applied_revision is not None
        or not applied
        or repository.resolve(applied[-1].revision) is None
    ):
        return False
    places = _replay(repository, applied)
    files = {place.path: _load(repository, place) for place in places}
    active = DesiredState.of(files[place.path] for place in places if place.retired is None)
    settings = settings_of(
        node.node_id,
        ((path, file.document) for path, file in active.files.items() if file.kind == "node"),
    )
    _write_documents(connection, places, files, active, catalogue, settings)
    desired.save_applied(
        connection,
        revision=applied[-1].revision,
        sequence=len(applied),
        settings=settings,
        conditions=node.conditions,
        now=applied[-1].at,
    )
    _write_conditions(connection, history)
    return True


def _replay(repository: Repository, applied: Sequence[Looked]) -> list[_Place]:
    """Follow the applied revisions by their differences alone: where each path got to."""
    places: dict[str, _Place] = {}
    before: str | None = None
    for sequence, looked in enumerate(applied, start=1):
        if repository.resolve(looked.revision) is None:
            continue
        for change in repository.changes(before, looked.revision):
            path = change.text
            if path is None or kind_of(path) == "other":
                continue
            if change.new_blob is not None:
                places[path] = _Place(path, change.new_blob, looked.revision, sequence, looked.at)
            elif path in places:
                retired = (looked.revision, sequence, looked.at)
                places[path] = replace(places[path], retired=retired)
        before = looked.revision
    return list(places.values())


def _load(repository: Repository, place: _Place) -> Loaded:
    return load(place.path, place.blob_id, repository.read(place.blob_id))


def _write_documents(
    connection: Connection,
    places: Sequence[_Place],
    files: dict[str, Loaded],
    active: DesiredState,
    catalogue: Catalogue,
    settings: Settings,
) -> None:
    moments = {(place.sequence, place.revision, place.at) for place in places}
    for place in places:
        if place.retired is not None:
            revision, sequence, at = place.retired
            moments.add((sequence, revision, at))
    # In their order, for an identity is active once at any moment.
    for sequence, revision, at in sorted(moments):
        desired.apply_documents(
            connection,
            upserts=[
                _document(files[place.path], active, catalogue, settings, at)
                for place in places
                if place.sequence == sequence
            ],
            retired=[
                place.path
                for place in places
                if place.retired is not None and place.retired[1] == sequence
            ],
            revision=revision,
            sequence=sequence,
            now=at,
        )


def _document(
    loaded: Loaded, active: DesiredState, catalogue: Catalogue, settings: Settings, at: dt.datetime
) -> Document:
    # Whether it can run depends on packs; one that was retired is not among the active any more.
    state = active if loaded.path in active.files else active.apply([(loaded.path, loaded)])
    found = not_runnable(state, loaded.path, catalogue, settings)
    conditions = (
        ()
        if found is None
        else (
            Condition(
                "NotRunnable", status=True, reason=found.reason, message=found.message, since=at
            ),
        )
    )
    return Document(**loaded.to_row(), conditions=conditions)


def _write_conditions(connection: Connection, history: Sequence[Looked]) -> None:
    """Repeat what was said of the node: of revisions alike in a row the first and the last."""
    for applied, alike in groupby(history, lambda looked: looked.problems is None):
        row = list(alike)
        for looked in dict.fromkeys((row[0], row[-1])):
            if applied:
                shell.confirm(connection, looked.revision, looked.at)
            else:
                for condition in _refused(looked):
                    desired.set_condition(connection, condition)
    last = history[-1]
    if last.problems is not None:
        said = desired.read_node(connection).conditions
        desired.save_attempted(connection, revision=last.revision, conditions=said, now=last.at)


def _refused(looked: Looked) -> Iterator[Condition]:
    """The conditions that :func:`~.apply.refuse` sets."""
    problems = looked.problems or ("",)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = f"revision {looked.revision[:12]} is not applied: {problems[0]}{more}"
    for kind, status in (("Ready", False), ("Reconciling", False), ("Stalled", True)):
        yield Condition(kind, status, "ValidationFailed", message, looked.at)  # type: ignore[arg-type] # the three are condition types
