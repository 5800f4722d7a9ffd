"""What an expression names, and whether that exists at its place.

Validation relies on this to say, before anything runs, that an input is misspelt or that a
step has not run yet where it is asked for; compiling, to know what a value depends on.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from jinja2 import nodes

from xyn_reconciler.desired.grammar import MAX_FINDINGS, Finding
from xyn_reconciler.desired.wording import did_you_mean, quoted

EVENT_FIELDS: Final = (
    "event_id",
    "event_name",
    "occurred_at",
    "env_id",
    "actor",
    "correlation_id",
    "run_id",
    "step_id",
    "resource",
    "data",
)
"""The envelope of an event (seed 29.4)."""
RUN_FIELDS: Final = ("run_id", "blueprint_id", "revision", "actor")
"""In ``on_failure`` there is ``error`` as well."""
NODE_FIELDS: Final = ("id", "env_id", "stage", "vars")
STEP_FIELDS: Final = ("outputs", "status", "error")


@dataclass(frozen=True, slots=True)
class Reference:
    """A lookup from a root: ``steps.analyze.outputs.risk``."""

    root: str
    path: tuple[str | int, ...]
    """The names behind the root, up to the first that only a run can tell."""
    offsets: tuple[int, ...]
    """Where the root and each name of the path stands in the text."""
    guarded: bool
    """``default`` or ``is defined`` stands by: it may find nothing."""


@dataclass(frozen=True, slots=True)
class Known:
    """What can be named at one place of a document.

    ``roots`` maps each root to the names below it, or to None where any may stand. Under the root
    ``steps`` stand the steps that have ended before this place; ``later`` and ``parallel`` name
    the document's other steps, so that the message can say what is wrong with them.
    """

    roots: Mapping[str, Collection[str] | None]
    steps: Collection[str] = ()
    later: Collection[str] = ()
    parallel: Collection[str] = ()


def find_references(body: Sequence[nodes.Node]) -> list[Reference]:
    """Every lookup below the nodes, also those that no evaluation may reach; in order."""
    found = [reference for node in body for reference in _references(node)]
    return sorted(found, key=lambda reference: reference.offsets)


def unresolved(references: Sequence[Reference], known: Known) -> list[Finding]:
    """What of it does not exist at its place; in order, the first 20."""
    found = (_unresolved(reference, known) for reference in references)
    return [finding for finding in found if finding is not None][:MAX_FINDINGS]


_NOUNS = {"inputs": "input", "vars": "variable"}


def _unresolved(reference: Reference, known: Known) -> Finding | None:
    root, path, offsets = reference.root, reference.path, reference.offsets
    if root not in known.roots:
        hint = did_you_mean(
            "none" if root == "null" else root, [*known.roots, "none", "true", "false"]
        )
        listed = ", ".join(sorted(known.roots)) or "nothing"
        return Finding(
            offsets[0], "unknown_root", f"{quoted(root)} is not known here{hint}; there is {listed}"
        )
    if root == "steps":
        return _unresolved_step(path, offsets, known)
    names = known.roots[root]
    if names is None or not path or path[0] in names:
        return None
    name = str(path[0])
    noun = _NOUNS.get(root, f"field of {root}")
    return Finding(
        offsets[1], "unresolved_reference", f"no {noun} {quoted(name)}{did_you_mean(name, names)}"
    )


def _unresolved_step(
    path: tuple[str | int, ...], offsets: tuple[int, ...], known: Known
) -> Finding | None:
    if not path:
        return None
    step, *inner = map(str, path)
    if step in known.later:
        message = f"step {quoted(step)} has not run yet here"
    elif step in known.parallel:
        message = f'step {quoted(step)} runs beside this one; name it in "needs" to wait for it'
    elif step not in known.steps:
        message = f"no step {quoted(step)}{did_you_mean(step, known.steps)}"
    elif inner and inner[0] not in STEP_FIELDS:
        near = did_you_mean(inner[0], STEP_FIELDS)
        hint = near or f"; did you mean steps.{step}.outputs.{inner[0]}?"
        message = f"a step has {', '.join(STEP_FIELDS)}, no {quoted(inner[0])}{hint}"
        return Finding(offsets[2], "unresolved_reference", message)
    else:
        return None
    return Finding(offsets[1], "unresolved_reference", message)


def _references(
    node: nodes.Node, *, guarded: bool = False, bound: frozenset[str] = frozenset()
) -> Iterator[Reference]:
    match node:
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            yield from _lookup(node, guarded=guarded, bound=bound)
        case nodes.Filter(name="default"):
            yield from _references(cast("nodes.Node", node.node), guarded=True, bound=bound)
            for argument in (*node.args, *node.kwargs):
                yield from _references(argument, guarded=guarded, bound=bound)
        case nodes.For():
            inner = bound | {cast("nodes.Name", node.target).name}
            yield from _references(node.iter, bound=bound)
            for child in filter(None, (node.test, *node.body)):
                yield from _references(child, bound=inner)
            for child in node.else_:
                yield from _references(child, bound=bound)
        case _:
            for child in node.iter_child_nodes():
                yield from _references(
                    child, guarded=guarded or isinstance(node, nodes.Test), bound=bound
                )


def _lookup(node: nodes.Node, *, guarded: bool, bound: frozenset[str]) -> Iterator[Reference]:
    path: list[str | int] = []
    offsets: list[int] = []
    while not isinstance(node, nodes.Name):
        match node:
            case nodes.Getattr():
                path.append(node.attr)
            case nodes.Getitem(arg=nodes.Const(value=str() | int() as key)):
                path.append(key)
            case nodes.Getitem():
                # Only a run can tell this name, nor any behind it.
                yield from _references(node.arg, guarded=guarded, bound=bound)
                path.clear()
                offsets.clear()
            case _:
                yield from _references(node, guarded=guarded, bound=bound)
                return
        if path:
            offsets.append(node.lineno + 1)
        node = node.node
    if node.name not in bound:
        yield Reference(node.name, tuple(path[::-1]), (node.lineno, *offsets[::-1]), guarded)
