"""Expressions: what ``{{ }}``, ``when`` and a prompt file say, read, checked and rendered.

The room's other files are behind this door: :mod:`~xyn_reconciler.desired.grammar` reads,
:mod:`~xyn_reconciler.desired.references` checks, :mod:`~xyn_reconciler.desired.evaluate`
evaluates. Validation, matching, compiling and every step runner rely on it. The language is
described for its users in ``docs/reference/expressions.md``, whose examples are tests.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

from jinja2 import nodes

from xyn_reconciler.desired.evaluate import Evaluator
from xyn_reconciler.desired.grammar import Finding, InvalidExpressionError, Kind, read
from xyn_reconciler.desired.references import (
    EVENT_FIELDS,
    NODE_FIELDS,
    RUN_FIELDS,
    STEP_FIELDS,
    Known,
    Reference,
    find_references,
    unresolved,
)
from xyn_reconciler.desired.values import (
    JSON,
    MAX_SIZE,
    Budget,
    ExpressionError,
    Scope,
    UndefinedValueError,
    size,
)

__all__ = [
    "EVENT_FIELDS",
    "NODE_FIELDS",
    "RUN_FIELDS",
    "STEP_FIELDS",
    "ExpressionError",
    "Finding",
    "InvalidExpressionError",
    "Known",
    "Reference",
    "Template",
    "UndefinedValueError",
    "check",
    "findings",
    "parse_expression",
    "parse_template",
    "references",
    "render_value",
]

_CACHED_TEXT: Final = 2_000
"""Texts up to this many characters are read once: those of a plan, over and over."""
_MARKED: Final = re.compile(r"\{[{%#]")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with ``{{ }}`` in it, or a bare expression, read and found well formed."""

    text: str
    body: tuple[nodes.Node, ...] = field(repr=False, compare=False)
    is_exact: bool
    """Exactly one ``{{ … }}`` and nothing around it: the value keeps its type."""

    def render(
        self,
        scope: Scope,
        *,
        budget: Budget | None = None,
        escape: Callable[[str], str] | None = None,
    ) -> JSON:
        """The value within ``scope``; raises :class:`ExpressionError` and nothing else.

        ``escape`` is applied to each interpolated text, ``shlex.quote`` (for a command line)
        to those that are not already ``| quote``; with it the result is a string always.
        """
        evaluator = Evaluator(scope, budget or Budget(), escape)
        try:
            if self.is_exact and escape is None:
                value = evaluator.value(cast("nodes.Output", self.body[0]).nodes[0])
                evaluator.budget.spend(size(value))
                return value
            return _bounded(evaluator.text(self.body))
        except RecursionError as error:
            raise ExpressionError("too_deep", "a value here is nested too deeply") from error

    def holds(self, scope: Scope) -> bool:
        """Whether the value counts as true: all but null, false, 0, and what is empty."""
        return bool(self.render(scope))


def _bounded(pieces: Iterator[str]) -> str:
    taken: list[str] = []
    left = MAX_SIZE
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise ExpressionError("too_large", f"the text is larger than {MAX_SIZE:,} characters")
        taken.append(piece)
    return "".join(taken)


def parse_template(text: str, *, prompt: bool = False) -> Template:
    """Read a text with ``{{ }}``; raises :class:`InvalidExpressionError`.

    ``prompt`` also takes ``{% if %}`` and ``{% for %}``, for files named by ``prompt_file``.
    """
    return _parse(text, "prompt" if prompt else "template")


def parse_expression(text: str) -> Template:
    """Read a bare expression, as ``when`` has it; raises :class:`InvalidExpressionError`."""
    return _parse(text, "expression")


def render_value(value: JSON, scope: Scope, *, escape: Callable[[str], str] | None = None) -> JSON:
    """A copy of ``value`` with each string in it rendered, once, all on one budget.

    Keys stay as they are. Raises :class:`ExpressionError` and nothing else.
    """
    budget = Budget()

    def rendered(inner: JSON) -> JSON:
        match inner:
            case str():
                return parse_template(inner).render(scope, budget=budget, escape=escape)
            case list():
                return [rendered(item) for item in inner]
            case dict():
                return {key: rendered(item) for key, item in inner.items()}
        return inner

    try:
        return rendered(value)
    except RecursionError as error:
        raise ExpressionError("too_deep", "a value here is nested too deeply") from error


def references(template: Template) -> list[Reference]:
    """Every lookup in the text, also those that no evaluation may reach; in order."""
    return find_references(template.body)


def check(template: Template, known: Known) -> list[Finding]:
    """What the text names that does not exist at its place; in order, the first 20."""
    return unresolved(references(template), known)


def findings(text: str, known: Known, kind: Kind = "template") -> list[Finding]:
    """All that is wrong with a text at its place: how it is written, else what it names."""
    try:
        return check(_parse(text, kind), known)
    except InvalidExpressionError as error:
        return list(error.findings)


def _parse(text: str, kind: Kind) -> Template:
    return (_parse_once if len(text) <= _CACHED_TEXT else _parse_now)(text, kind)


def _parse_now(text: str, kind: Kind) -> Template:
    if kind == "template" and not _MARKED.search(text):
        data = nodes.TemplateData(text, lineno=0)
        return Template(text, (nodes.Output([data], lineno=0),), is_exact=False)
    body = read(text, kind)
    match body:
        case [nodes.Output(nodes=[part])] if kind != "prompt":
            is_exact = not isinstance(part, nodes.TemplateData)
        case _:
            is_exact = False
    return Template(text, tuple(body), is_exact=is_exact)


_parse_once = lru_cache(maxsize=2048)(_parse_now)
