"""The blueprints of one desired state as a node would have them active: matched and compiled.

Pure. Backtests hold two of these, ``main``'s and the draft's; blueprint tests hold one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.packs import whole_pack
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.model.capability import CompiledRun
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import PlanNode, PlanPack
from xyn_reconciler.reconcile.node_settings import settings_of
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.trigger.active import plan_node_of
from xyn_reconciler.trigger.match import MatchIndex, NodeView


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What a node would start, and with which plan; files with problems are not in it."""

    state: DesiredState
    node: PlanNode
    view: NodeView
    blueprints: Mapping[str, Loaded]
    """By id."""
    packs: Mapping[str, PlanPack]
    """Whole, by id."""
    known_hosts: str

    @classmethod
    def of(cls, state: DesiredState, node_id: str | None) -> Self:
        """See a state as this node would; ``None``: as the node of ``node.yaml``."""
        if node_id is None:
            primary = state.main_node()
            node_id = "seed" if primary is None or not primary.document else primary.document["id"]
        nodes = [
            (path, each.document)
            for path, each in sorted(state.few.items())
            if each.kind == "node" and each.document is not None
        ]
        settings = settings_of(node_id, nodes)
        return cls(
            state=state,
            node=plan_node_of(settings),
            view=NodeView.from_settings(settings),
            blueprints={
                each.document_id: each
                for _, each in sorted(state.files.items(), reverse=True)
                if each.kind == "blueprint" and each.document is not None
            },
            packs={
                name: pack
                for name, files in state.by_pack.items()
                if (pack := whole_pack(files.values())) is not None
            },
            known_hosts=_known_hosts(state),
        )

    def index(self) -> MatchIndex:
        """Give its triggers."""
        documents = (each.document for each in self.blueprints.values())
        return MatchIndex.build(documents, self.view)

    def index_after(self, before: "Side", index: MatchIndex) -> MatchIndex:
        """As :meth:`index`, made of the index of another side: only what differs is built."""
        if self.view != before.view:
            return self.index()
        changes: dict[str, Any] = dict.fromkeys(before.blueprints.keys() - self.blueprints.keys())
        for name, loaded in self.blueprints.items():
            old = before.blueprints.get(name)
            if old is None or old.blob_id != loaded.blob_id:
                changes[name] = loaded.document
        return index.with_changes(changes.items()) if changes else index

    def compile(
        self, blueprint_id: str, event: Event | None, given: Mapping[str, Any] | None = None
    ) -> CompiledRun:
        """Compile a run as it would be started; ``KeyError`` where there is no such blueprint."""
        loaded = self.blueprints[blueprint_id]
        return compile_run(
            loaded.document,
            path=loaded.path,
            blob_id=loaded.blob_id,
            files=self._prompts(loaded.document),
            packs=self.packs,
            known_hosts=self.known_hosts,
            node=self.node,
            event=event,
            given=given,
        )

    def _prompts(self, document: Mapping[str, Any]) -> dict[str, str]:
        steps = each_step(document)
        named = {step["prompt_file"] for _, step in steps if step.get("prompt_file") is not None}
        files = {path: self.state.files.get(path) for path in named}
        return {
            path: loaded.document["text"]
            for path, loaded in files.items()
            if loaded is not None and loaded.document is not None
        }


def _known_hosts(state: DesiredState) -> str:
    found = state.files.get("known_hosts")
    return found.document["text"] if found is not None and found.document is not None else ""
