"""What needs more than one file: ids, prompts, actions, providers, nodes, subjects.

O(changed): :func:`check` looks at the files that changed, and at others only where
something that they may name has changed (a prompt, a pack, a node). Validity belongs
to the commit, not to the node: what the language or a pack knows and this node has not
is a remark, and a reason of :func:`not_runnable`; only a name that nobody defines is a
problem.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xyn_reconciler.desired.blueprint_checks import step_scope, with_item
from xyn_reconciler.desired.fits import misfits
from xyn_reconciler.desired.layout import MAX_IN_FOLDER, folder_of
from xyn_reconciler.desired.load import kind_of, load
from xyn_reconciler.desired.loaded import START, Loaded, Reference, ReferenceKind, pointer
from xyn_reconciler.desired.pack_checks import (
    definition_of,
    pack_problems,
    pack_remarks,
    touched_packs,
)
from xyn_reconciler.desired.pack_lint import lint, migration_problems
from xyn_reconciler.desired.packs import spec_of, with_packs
from xyn_reconciler.desired.prompt import check_prompt
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.step_order import order
from xyn_reconciler.desired.text_file import position
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.routing import enabled, target

__all__ = ["DesiredState", "Findings", "NotRunnable", "check", "not_runnable", "validate_paths"]

ROLES = ("User", "Operator", "OwnerAdmin")


@dataclass(frozen=True, slots=True)
class Findings:
    """Problems refuse a push; remarks are shown with it. Both sorted."""

    problems: tuple[Problem, ...] = ()
    remarks: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class NotRunnable:
    """Why a valid blueprint cannot run on a node: ``reason`` of the condition, and a sentence."""

    reason: str
    message: str


def validate_paths(files: Mapping[str, bytes], catalogue: Catalogue) -> Findings:
    """Check files outside Git; paths are relative to the repository's root.

    Without ``node.yaml`` among them they are taken for a part of a repository,
    and what may stand elsewhere (prompts, ``node.yaml`` itself) is not missed.
    """
    loaded = [load(path, "", data) for path, data in files.items()]
    state = DesiredState.of(loaded)
    whole = state.main_node() is not None
    return check(state, files, catalogue, whole=whole)


def check(
    state: DesiredState, changed: Iterable[str], catalogue: Catalogue, *, whole: bool = True
) -> Findings:
    """Validate the changed paths in the state that has them, and what depends on them.

    A path that is not in the state was removed. ``whole`` says that the state is
    a complete repository.
    """
    paths = set(changed)
    checker = _Checker(state, catalogue, whole=whole)
    problems: list[Problem] = []
    remarks: list[Problem] = []
    if whole and state.main_node() is None:
        message = "a state repository needs a node.yaml with the id of its node"
        problems.append(Problem("node.yaml", *START, "missing_file", message))
    for path in paths:
        loaded = state.files.get(path)
        if loaded is not None:
            problems += [*loaded.problems, *checker.problems(loaded)]
            remarks += [*loaded.remarks, *checker.remarks(loaded)]
        elif kind_of(path) == "other":
            remarks += load(path, "", b"").remarks  # its name alone is judged
    for loaded in _dependents(state, paths):
        problems += checker.problems(loaded)
    for pack in touched_packs(paths):
        problems += pack_problems(state, pack, catalogue, whole=whole)
        problems += migration_problems(state, pack)
        remarks += [*pack_remarks(state, pack), *lint(state, pack)]
    remarks += _crowded(state, paths)
    return Findings(tuple(sorted(set(problems))), tuple(sorted(set(remarks))))


def _dependents(state: DesiredState, changed: Collection[str]) -> Iterator[Loaded]:
    """Unchanged files that name something of a kind which changed."""
    kinds: set[ReferenceKind] = set()
    prompts = {path for path in changed if kind_of(path) == "prompt"}
    for path in changed:
        match kind_of(path):
            case "pack":
                kinds.add("action")
            case "node":
                kinds |= {"provider", "alias"}
    if not kinds and not prompts:
        return
    for path, loaded in state.files.items():
        if path not in changed and any(
            reference.kind in kinds or (reference.kind == "prompt" and reference.name in prompts)
            for reference in loaded.references
        ):
            yield loaded


def _crowded(state: DesiredState, changed: Collection[str]) -> Iterator[Problem]:
    for folder in {folder_of(path) for path in changed}:
        count = state.folders.get(folder, 0)
        if count > MAX_IN_FOLDER:
            first = min(path for path in changed if folder_of(path) == folder)
            message = (
                f"{folder or 'the top folder'} holds {count} documents;"
                f" with more than {MAX_IN_FOLDER} in one folder a push gets slower: use subfolders"
            )
            yield Problem(first, *START, "crowded_folder", message)


@dataclass(frozen=True, slots=True)
class _Step:
    """A reference of a blueprint with the step that makes it."""

    loaded: Loaded
    reference: Reference

    @property
    def document(self) -> Mapping[str, Any]:
        part, index, *_ = self.reference.place
        step: Mapping[str, Any] = self.loaded.document[part][index]
        return step

    @property
    def given(self) -> Any:  # noqa: ANN401 - JSON
        """What the action is given: a step says ``with``, a pack all of it."""
        if self.loaded.kind == "blueprint":
            return self.document["with"]
        found = self.loaded.document
        for part in self.reference.place:
            found = found[part]
        return found


class _Checker:
    """One check of one state; what all files may name is gathered once, when it is asked for."""

    def __init__(self, state: DesiredState, catalogue: Catalogue, *, whole: bool) -> None:
        self.state = state
        self.catalogue = with_packs(catalogue, state.packs())
        self.whole = whole
        self.providers = {
            *catalogue.providers,
            *(name for node in state.nodes() for name in node.get("providers") or {}),
        }
        self.aliases = {
            *catalogue.aliases,
            *(name for node in state.nodes() for name in node.get("aliases") or {}),
        }

    def problems(self, loaded: Loaded) -> Iterator[Problem]:
        """What makes this file unacceptable beside the others."""
        yield from self._duplicate(loaded)
        for reference in loaded.references:
            match reference.kind:
                case "action":
                    yield from self._action(_Step(loaded, reference))
                case "provider":
                    if reference.name not in self.providers:
                        hint = did_you_mean(reference.name, self.providers)
                        message = f"no provider {quoted(reference.name)}{hint}"
                        yield _at(loaded, reference, "unknown_provider", message)
                case "alias" if reference.name not in self.aliases:
                    known = ", ".join(sorted(self.aliases))
                    message = (
                        f"an agent_task needs a provider, or a model that is an alias ({known});"
                        f" {quoted(reference.name)} is none"
                    )
                    yield _at(loaded, reference, "unknown_alias", message)
                case "prompt":
                    yield from self._prompt(_Step(loaded, reference))

    def remarks(self, loaded: Loaded) -> Iterator[Problem]:
        """What the author may want to know."""
        for reference in loaded.references:
            match reference.kind:
                case "node" if self.whole:
                    yield from self._node(loaded, reference)
                case "subject" if self.whole:
                    yield from self._subject(loaded, reference)
                case "blueprint" if (
                    self.whole and self.state.find("blueprint", reference.name) is None
                ):
                    message = f"no blueprint {quoted(reference.name)}"
                    yield _at(loaded, reference, "unknown_blueprint", message)
                case "action" if self._known_only(reference.name):
                    message = f"{reference.name} is not installed here: no run gets past this step"
                    yield _at(loaded, reference, "not_runnable", message)
                case "provider" | "alias" if self.whole and self._known_off(loaded, reference):
                    what = (
                        "set enabled: true"
                        if reference.kind == "provider"
                        else f"give aliases: {{{reference.name}: ...}} with an enabled provider"
                    )
                    message = f"{reference.name} is not enabled: {what} in node.yaml"
                    yield _at(loaded, reference, "not_runnable", message)

    def _duplicate(self, loaded: Loaded) -> Iterator[Problem]:
        if loaded.document is None:
            return
        others = [
            path
            for path in self.state.by_identity.get((loaded.kind, loaded.document_id), ())
            if path != loaded.path
        ]
        if others:
            message = f"{quoted(loaded.document_id)} is the id of {others[0]} already"
            yield Problem(loaded.path, *loaded.id_position, "duplicate_id", message)

    def _known_only(self, action: str) -> bool:
        spec = self.catalogue.actions.get(action)
        return spec is not None and not spec.installed

    def _unread(self, pack: str) -> bool:
        """Whether there is a pack of that name that has problems."""
        loaded = definition_of(self.state.by_pack.get(pack, {}))
        return loaded is not None and loaded.document is None

    def _action(self, step: _Step) -> Iterator[Problem]:
        name = step.reference.name
        spec = self.catalogue.actions.get(name)
        if spec is None:
            if not self.whole and not name.startswith(_families(self.catalogue)):
                return  # of a pack that stands elsewhere
            if self._unread(name.partition(".")[0]):
                return  # its own problems are told at itself
            message = f"no action {quoted(name)}{did_you_mean(name, self.catalogue.actions)}"
            yield _at(step.loaded, step.reference, "unknown_action", message)
            return
        for misfit in misfits(spec.input_schema, step.given) if spec.input_schema else ():
            line, column = _inner(step.reference, misfit.place, at_key=misfit.code == "unknown_key")
            named = f"{pointer(misfit.place)[1:]} of {name}" if misfit.names_value else name
            message = f"{named} {misfit.message}"
            yield Problem(step.loaded.path, line, column, misfit.code, message)

    def _prompt(self, step: _Step) -> Iterator[Problem]:
        name = step.reference.name
        prompt = self.state.files.get(name)
        if prompt is None:
            if self.whole:
                prompts = [p for p, each in self.state.files.items() if each.kind == "prompt"]
                message = f"there is no file {name}{did_you_mean(name, prompts)}"
                yield _at(step.loaded, step.reference, "missing_file", message)
            return
        if prompt.document is None:
            return  # its own problems are told at itself
        document = step.loaded.document
        plan = order("plan", document.get("plan"))
        on_failure = order("on_failure", document.get("on_failure"))
        steps = plan.steps if step.reference.place[0] == "plan" else on_failure.steps
        known = step_scope(document, plan, on_failure, steps[int(step.reference.place[1])])
        if "foreach" in step.document:
            known = with_item(known)
        for finding in check_prompt(prompt.document["text"], known):
            line, column = position(prompt.document["text"], finding.offset)
            message = f"{name}:{line}:{column}: {finding.message}"
            yield _at(step.loaded, step.reference, finding.code, message)

    def _node(self, loaded: Loaded, reference: Reference) -> Iterator[Problem]:
        nodes = list(self.state.nodes())
        labels = {f"label:{label}" for node in nodes for label in node.get("labels") or []}
        known = {*(node["id"] for node in nodes), *labels}
        if reference.name not in known:
            hint = did_you_mean(reference.name, known)
            message = f"no node {quoted(reference.name)} is defined here{hint}"
            yield _at(loaded, reference, "unknown_node", message)

    def _subject(self, loaded: Loaded, reference: Reference) -> Iterator[Problem]:
        entries = self.state.principals()
        known = {
            *(f"role:{role}" for role in ROLES),
            *(f"principal:{entry['id']}" for entry in entries),
            *(f"team:{team}" for entry in entries for team in entry.get("teams") or []),
        }
        if reference.name not in known:
            hint = did_you_mean(reference.name, known)
            message = f"nobody in principals.yaml is {quoted(reference.name)}{hint}"
            yield _at(loaded, reference, "unknown_subject", message)
        for entry in entries if "from_any_of" in reference.place else ():
            kind = entry.get("kind", "person")
            if reference.name == f"principal:{entry['id']}" and kind != "person":
                message = f"{entry['id']} is of kind {kind}: only a person's yes counts"
                yield _at(loaded, reference, "not_a_person", message)

    def _known_off(self, loaded: Loaded, reference: Reference) -> bool:
        """Whether no node on which its triggers are live can ask what a step asks."""
        known = self.providers if reference.kind == "provider" else self.aliases
        if reference.name not in known:
            return False
        if reference.kind == "alias" and not self._any_model():
            return False  # Where no model is asked at all, what needs one waits by intent.
        named = loaded.document.get("nodes")
        main = self.state.main_node()
        live = [
            node
            for node in self.state.nodes()
            if (
                _names(named, node)
                if named is not None
                else main is not None and main.document is node
            )
        ]
        return not any(_off(node, _Step(loaded, reference).document) is None for node in live)

    def _any_model(self) -> bool:
        """Whether a node may ask anybody at all."""
        nodes = (node.get("providers") or {} for node in self.state.nodes())
        return any(enabled(providers, name) for providers in nodes for name in providers)


def _names(named: Iterable[str], node: Mapping[str, Any]) -> bool:
    labels = {f"label:{label}" for label in node.get("labels") or []}
    return any(name == node["id"] or name in labels for name in named)


def _off(node: Mapping[str, Any], step: Mapping[str, Any]) -> str | None:
    """Say why a node, by its definition or its settings, cannot ask what a step asks."""
    found = target(node.get("models") or node, step.get("provider"), step["model"])
    if found is None:
        return f"the alias {step['model']} means nothing on this node: in its file set aliases"
    if enabled(node.get("providers") or {}, found.provider):
        return None
    return (
        f"provider {found.provider} is not enabled on this node: in its file set"
        f" providers: {{{found.provider}: {{enabled: true}}}}"
    )


def not_runnable(
    state: DesiredState, path: str, catalogue: Catalogue, node_settings: Mapping[str, Any]
) -> NotRunnable | None:
    """Say why a valid blueprint cannot run on a node; None where it can, or is no blueprint."""
    loaded = state.files.get(path)
    if loaded is None or loaded.kind != "blueprint":
        return None
    actions = sorted(
        {
            each.name
            for each in loaded.named("action")
            if not _installed(state, catalogue, each.name)
        }
    )
    models = {
        why
        for reference in (*loaded.named("provider"), *loaded.named("alias"))
        if (why := _off(node_settings, _Step(loaded, reference).document)) is not None
    }
    sentences = [f"action {name} is not installed on this node" for name in actions]
    sentences += sorted(models)
    if not sentences:
        return None
    reason = "ActionNotInstalled" if actions else "ProviderNotEnabled"
    return NotRunnable(reason, "; ".join(sentences))


def _installed(state: DesiredState, catalogue: Catalogue, action: str) -> bool:
    spec = catalogue.actions.get(action)
    if spec is None:
        # Asked of every blueprint when a node's definition changes: one pack is looked at.
        loaded = definition_of(state.by_pack.get(action.partition(".")[0], {}))
        if loaded is not None and loaded.document is not None:
            spec = spec_of(action, loaded.document, catalogue.actions)
    return spec is not None and spec.installed


def _families(catalogue: Catalogue) -> tuple[str, ...]:
    """First parts of the names of actions that are the platform's own."""
    return tuple({f"{name.partition('.')[0]}." for name in catalogue.actions})


def _at(loaded: Loaded, reference: Reference, code: str, message: str) -> Problem:
    return Problem(loaded.path, reference.line, reference.column, code, message)


def _inner(reference: Reference, place: tuple[str | int, ...], *, at_key: bool) -> tuple[int, int]:
    """The position below ``with`` of a place, or of what is nearest above it."""
    for length in range(len(place), -1, -1):
        found = reference.inner.get(pointer(place[:length]))
        if found is not None:
            return found[2:] if at_key else found[:2]
    return reference.line, reference.column
