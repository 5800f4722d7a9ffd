"""What a process needs to know of the active revision: held in memory, renewed by what changed.

Intake matches and compiles with it, and every door asks it who may do what.

A :class:`View` is one consistent picture, immutable. :class:`ActiveState` gives
the one that belongs to the caller's transaction and reads only documents that
are newer than the picture it has.

The traps: a transaction that is itself applying a revision sees rows that may
be rolled back, so what is read there is kept only once that transaction is known
to be committed; and a database that was made anew counts its sequence from the
start, so a picture belongs to its ``database_id``.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.packs import settings_in_force, whole_pack
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.model.run import PlanNode, PlanPack
from xyn_reconciler.policy.rules import Rules
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.desired import Document, NodeState
from xyn_reconciler.trigger.match import MatchIndex, NodeView

_RULING: Final = ("policy", "principals")
_PACK_KINDS: Final = ("pack", "pack_settings", "pack_file", "source", "test")
"""Kinds of which those in ``packs/`` make the packs."""
_KINDS: Final = ("blueprint", "prompt", "known_hosts", *_PACK_KINDS, *_RULING)

RECENT_SECONDS: Final = 1.0
"""How long a revision may be in force before every door knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Blueprints, prompts, rules and node settings of one applied revision."""

    database_id: uuid.UUID
    sequence: int
    revision: str | None
    settings: Mapping[str, Any]
    index: MatchIndex
    plan_node: PlanNode | None = None
    """What runs may know of this node, pinned in their plan; none before the first revision."""
    blueprints: Mapping[str, Document] = field(default_factory=dict)
    """By blueprint id."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Blueprint id by path."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Text by path."""
    ruling: Mapping[str, Document] = field(default_factory=dict)
    """Policies and principals by path."""
    rules: Rules = field(default_factory=Rules)
    """What they say on this node."""
    sources: Mapping[str, Document] = field(default_factory=dict)
    """Webhook sources by id."""
    pack_files: Mapping[str, Mapping[str, Document]] = field(default_factory=dict)
    """Pack id -> all that stands in its folder, by path."""
    packs: Mapping[str, PlanPack] = field(default_factory=dict)
    """The packs that work here, whole, by id."""
    known_hosts: str = ""
    """The repository's keys of hosts, for what logs in by ssh."""

    def settings_at(self, path: str) -> Mapping[str, Any]:
        """Give the settings of the pack that a file stands in; none where it is in no pack."""
        pack = in_pack(path)[0]
        return {} if pack is None else settings_in_force(self.pack_files.get(pack, {}).values())

    def with_settings(self, settings: Mapping[str, Mapping[str, Any]]) -> "View":
        """Give the picture as it would be with other settings of these packs."""
        changed = {
            pack: self.packs[pack].model_copy(update={"settings": given})
            for pack, given in settings.items()
            if pack in self.packs
        }
        return replace(self, packs={**self.packs, **changed}) if changed else self

    @property
    def position(self) -> tuple[uuid.UUID, int]:
        """The database, and how many revisions had been applied in it."""
        return self.database_id, self.sequence

    @property
    def starts_runs(self) -> bool:
        """Whether events start runs: not in shadow, suspended, or before the first revision."""
        return self.plan_node is not None and self.settings["mode"] == "active"

    @property
    def env_id(self) -> str:
        return str(self.settings.get("env_id", "local"))

    def files_of(self, blueprint: Document) -> dict[str, str]:
        """Give the prompt files that a blueprint names, by path."""
        steps = each_step(blueprint.document)
        named = {step["prompt_file"] for _, step in steps if step.get("prompt_file") is not None}
        return {path: self.prompts[path] for path in sorted(named) if path in self.prompts}

    def packs_of(self, blueprint: Document) -> dict[str, PlanPack]:
        """Give the packs whose actions a blueprint may name, whole, by id."""
        if not self.packs:
            return {}
        steps = each_step(blueprint.document)
        named = {str(step.get("action")).partition(".")[0] for _, step in steps}
        return {pack: self.packs[pack] for pack in sorted(named) if pack in self.packs}


class ActiveState:
    """One per process; safe from any thread."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._pending: tuple[View, str] | None = None
        """What an applying transaction read, and that transaction's id."""
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._looked_at = 0.0

    def recent(self, database: Database) -> View:
        """Give a picture that is at most :data:`RECENT_SECONDS` old, mostly without asking anybody.

        While one thread renews it the others go on with the one that is held; so
        do all while the database is away, where nothing can be changed.
        """
        held = self._view
        if held is None:
            with database.read() as connection:
                return self.view(connection)
        if time.monotonic() - self._looked_at < RECENT_SECONDS:
            return held
        if self._looking.acquire(blocking=False):
            try:
                with contextlib.suppress(UnavailableError), database.read() as connection:
                    held = self.view(connection)
            finally:
                self._looked_at = time.monotonic()
                self._looking.release()
        return held

    @property
    def held(self) -> View | None:
        """The newest picture that is known to be committed; it may be old by now."""
        return self._view

    def view(self, connection: Connection) -> View:
        """Give the picture that belongs to this transaction."""
        with self._lock:
            return self._view_of(connection, desired.read_node(connection))

    def view_at(self, connection: Connection, position: tuple[uuid.UUID, int]) -> View:
        """As :meth:`view`, for a caller who has read the position: free if it is the one held."""
        held = self._view
        if held is not None and held.position == position:
            return held
        return self.view(connection)

    def _view_of(self, connection: Connection, node: NodeState) -> View:
        held = self._settled(connection, node)
        if held is not None and held.position == _node_key(node) and node.uncommitted is None:
            return held
        while True:
            view = _renewed(connection, held, node)
            again = desired.read_node(connection)
            # A revision applied between the two reads has moved rows already: look again.
            if _node_key(again) == _node_key(node):
                break
            node = again
        if node.uncommitted is None:
            self._view = view
        else:
            self._pending = view, node.uncommitted
        return view

    def _settled(self, connection: Connection, node: NodeState) -> View | None:
        """Give the newest picture that is known to be committed."""
        if self._pending is not None:
            view, transaction = self._pending
            # Transactions of another database may not even have a number here.
            same = view.database_id == node.database_id
            if same and desired.committed(connection, transaction):
                self._view = view
            self._pending = None
        return self._view


def _node_key(node: NodeState) -> tuple[uuid.UUID, int]:
    return node.database_id, node.applied_sequence


def _renewed(connection: Connection, held: View | None, node: NodeState) -> View:
    node_view = _node_view(node)
    if (
        held is None
        or held.database_id != node.database_id
        or held.sequence > node.applied_sequence
    ):
        held = View(
            database_id=node.database_id,
            sequence=0,
            revision=None,
            settings={},
            index=MatchIndex(node_view),
        )
        changed = desired.documents(connection, kinds=_KINDS)
    else:
        changed = desired.documents(connection, since=held.sequence, kinds=_KINDS)
    return _with_documents(held, changed, node, node_view)


def _with_documents(
    held: View, changed: Iterable[Document], node: NodeState, node_view: NodeView
) -> View:
    blueprints, ids, prompts = dict(held.blueprints), dict(held.ids), dict(held.prompts)
    ruling = dict(held.ruling)
    index_changes: dict[str, Mapping[str, Any] | None] = {}
    changed = list(changed)
    # All that goes, first: a blueprint may have moved to another file, or two may have swapped.
    for document in changed:
        prompts.pop(document.path, None)
        ruling.pop(document.path, None)
        old = ids.pop(document.path, None)
        if old is not None:
            del blueprints[old]
            index_changes[old] = None
    for document in changed:
        if not document.active:
            continue
        if document.kind == "prompt":
            prompts[document.path] = document.document["text"]
        elif document.kind in _RULING:
            ruling[document.path] = document
        elif document.kind == "blueprint":
            blueprints[document.document_id] = document
            ids[document.path] = document.document_id
            index_changes[document.document_id] = document.document
    if node_view == held.index.node:
        index = held.index.with_changes(index_changes.items())
    else:
        index = MatchIndex.build((each.document for each in blueprints.values()), node_view)
    pack_files, packs = _packs(held, changed)
    return View(
        database_id=node.database_id,
        sequence=node.applied_sequence,
        revision=node.last_applied_revision,
        settings=node.settings,
        index=index,
        plan_node=plan_node_of(node.settings) if node.settings else None,
        blueprints=blueprints,
        ids=ids,
        prompts=prompts,
        sources=_sources(held, changed),
        ruling=ruling,
        rules=_rules(held, ruling, node),
        pack_files=pack_files,
        packs=packs,
        known_hosts=_known_hosts(held, changed),
    )


def _sources(held: View, changed: Collection[Document]) -> dict[str, Document]:
    gone = {document.path for document in changed}
    found = {name: source for name, source in held.sources.items() if source.path not in gone}
    return found | {
        each.document_id: each for each in changed if each.kind == "source" and each.active
    }


def _known_hosts(held: View, changed: Iterable[Document]) -> str:
    found = next((each for each in changed if each.kind == "known_hosts"), None)
    if found is None:
        return held.known_hosts
    return str(found.document["text"]) if found.active else ""


def _packs(
    held: View, changed: Iterable[Document]
) -> tuple[Mapping[str, Mapping[str, Document]], Mapping[str, PlanPack]]:
    files = dict(held.pack_files)
    packs = dict(held.packs)
    touched: dict[str, dict[str, Document]] = {}
    for document in changed:
        name = in_pack(document.path)[0]
        if name is None:
            continue
        inside = touched.setdefault(name, dict(files.get(name, {})))
        inside.pop(document.path, None)
        if document.active:
            inside[document.path] = document
    for name, inside in touched.items():
        files[name] = inside
        packs.pop(name, None)
        pack = whole_pack(inside.values())
        if pack is not None:
            packs[name] = pack
    return {name: inside for name, inside in files.items() if inside}, packs


def _rules(held: View, ruling: Mapping[str, Document], node: NodeState) -> Rules:
    if ruling == held.ruling and node.settings == held.settings:
        return held.rules
    documents = ((d.path, d.kind, d.document, d.revision) for d in ruling.values())
    return Rules.of(documents, node.settings)


def _node_view(node: NodeState) -> NodeView:
    if not node.settings:
        return NodeView(node.node_id, "local", "dev", primary=False)
    return NodeView.from_settings(node.settings)


def plan_node_of(settings: Mapping[str, Any]) -> PlanNode:
    """Give what runs may know of a node, of its settings."""
    return PlanNode(
        id=settings["id"],
        env_id=settings["env_id"],
        stage=settings["stage"],
        egress=tuple(settings["egress"]),
        images=tuple(settings.get("images") or ()),
        providers=settings["providers"],
        models=settings.get("models") or {},
        vars=settings.get("vars") or {},
        limits=settings["limits"],
    )
