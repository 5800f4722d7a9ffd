"""Evaluate a checked expression over JSON values.

Walks the nodes that :mod:`xyn_reconciler.desired.expression` let through, and knows no
others: there is no call, no attribute of a Python object, no loop but a prompt's ``for``
over a list. Every operand and every result is measured and the work is counted, so that an
evaluation ends soon or fails with a code, whatever the data is.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from jinja2 import nodes

from xyn_reconciler.desired.filters import FILTERS
from xyn_reconciler.desired.values import (
    JSON,
    Budget,
    ExpressionError,
    Scope,
    Undefined,
    UndefinedValueError,
    checked_number,
    equal,
    is_number,
    kind,
    less,
    size,
    step_into,
    text,
)

_WORK_PER_NODE = 50
"""In characters touched: what looking at one node costs beside."""
_SHOWN = 64


class Evaluator:
    """Evaluates nodes within one scope, all on one budget."""

    def __init__(self, scope: Scope, budget: Budget, escape: Callable[[str], str] | None) -> None:
        self.scope = scope
        self.budget = budget
        self.escape = escape

    def value(self, node: nodes.Expr) -> JSON:
        """The node's value; undefined is an error here."""
        found = self.lookup(node)
        if isinstance(found, Undefined):
            raise UndefinedValueError(found.path, offset=found.offset)
        return found

    def lookup(self, node: nodes.Expr) -> JSON | Undefined:
        """The node's value, which may be undefined: what ``default`` and ``is defined`` ask."""
        self.budget.spend(_WORK_PER_NODE)
        try:
            return self._found(node)
        except ExpressionError as error:
            if error.offset is None:
                error.offset = node.lineno
            raise

    def _found(self, node: nodes.Expr) -> JSON | Undefined:  # noqa: C901, PLR0911, PLR0912 - the grammar, one case a line
        match node:
            case nodes.Const():
                literal: JSON = node.value
                return literal
            case nodes.Name(name=name):
                return self.scope[name] if name in self.scope else Undefined(name, node.lineno)
            case nodes.Getattr():
                return self._step(node.node, node.attr, node.lineno)
            case nodes.Getitem():
                key = self.lookup(node.arg)
                return (
                    key if isinstance(key, Undefined) else self._step(node.node, key, node.lineno)
                )
            case nodes.CondExpr(
                test=test, expr1=nodes.Expr() as then, expr2=nodes.Expr() as otherwise
            ):
                return self.lookup(then if self.value(test) else otherwise)
            case nodes.Filter(name="default"):
                return self._default(node)
            case nodes.Filter(node=nodes.Expr() as operand):
                return self._filter(node, self._operand(operand))
            case nodes.Test():
                return not isinstance(self.lookup(node.node), Undefined)
            case nodes.Not():
                return not self.value(node.node)
            case nodes.And():
                return self.value(node.left) and self.value(node.right)
            case nodes.Or():
                return self.value(node.left) or self.value(node.right)
            case nodes.Compare():
                return self._compare(node)
            case nodes.Concat():
                return "".join([text(self._operand(part)) for part in node.nodes])
            case nodes.Neg():
                return _calculate(nodes.Sub, 0, self._operand(node.node))
            case nodes.Pos():
                return _calculate(nodes.Add, 0, self._operand(node.node))
            case nodes.BinExpr():
                return _calculate(type(node), self._operand(node.left), self._operand(node.right))
            case nodes.List() | nodes.Tuple():
                return [self.value(item) for item in node.items]
            case nodes.Dict():
                return {self._key(pair.key): self.value(pair.value) for pair in node.items}
        raise AssertionError(node)  # reading lets no other node through

    def text(self, body: Sequence[nodes.Node]) -> Iterator[str]:
        """The pieces of a template's text, in order."""
        for node in body:
            match node:
                case nodes.Output():
                    for part in node.nodes:
                        yield self._piece(part)
                case nodes.If():
                    yield from self._branch(node)
                case nodes.For():
                    yield from self._loop(node)

    def _piece(self, node: nodes.Expr) -> str:
        if isinstance(node, nodes.TemplateData):
            piece = node.data
        else:
            piece = text(self._operand(node))
            # What is quoted for a shell already is; no other escape is done by a filter.
            if self.escape is not None and not (self.escape is shlex.quote and _quotes(node)):
                piece = self.escape(piece)
        self.budget.spend(len(piece))
        return piece

    def _branch(self, node: nodes.If) -> Iterator[str]:
        for branch in (node, *node.elif_):
            if self.value(cast("nodes.Expr", branch.test)):
                return self.text(branch.body)
        return self.text(node.else_)

    def _loop(self, node: nodes.For) -> Iterator[str]:
        items = self._operand(cast("nodes.Expr", node.iter))
        if not isinstance(items, list):
            raise ExpressionError(
                "type_mismatch", f"for walks a list, and this is {kind(items)}", offset=node.lineno
            )
        name = cast("nodes.Name", node.target).name
        if not items:
            yield from self.text(node.else_)
        for item in items:
            self.budget.spend(_WORK_PER_NODE * (1 + len(node.body)))
            inner = Evaluator({**self.scope, name: item}, self.budget, self.escape)
            if not isinstance(node.test, nodes.Expr) or inner.value(node.test):
                yield from inner.text(node.body)

    def _step(self, base: nodes.Expr, key: JSON, offset: int) -> JSON | Undefined:
        found = self.lookup(base)
        name = f".{key[:_SHOWN]}" if isinstance(key, str) else f"[{text(key)[:_SHOWN]}]"
        if isinstance(found, Undefined):
            return Undefined(found.path + name, found.offset)
        inner = step_into(found, key)
        return (
            Undefined(written(base) + name, offset + 1) if isinstance(inner, Undefined) else inner
        )

    def _key(self, node: nodes.Expr) -> str:
        key = self.value(node)
        if not isinstance(key, str):
            raise ExpressionError("type_mismatch", f"a key is a string, and this is {kind(key)}")
        return key

    def _operand(self, node: nodes.Expr) -> JSON:
        value = self.value(node)
        self.budget.spend(size(value))
        return value

    def _default(self, node: nodes.Filter) -> JSON | Undefined:
        given = dict(zip(("default_value", "boolean"), node.args, strict=False)) | _named(node)
        found = self.lookup(cast("nodes.Expr", node.node))
        missing = isinstance(found, Undefined)
        if not missing and not found and "boolean" in given:
            missing = bool(self.value(given["boolean"]))
        return self.lookup(given["default_value"]) if missing else found

    def _filter(self, node: nodes.Filter, value: JSON) -> JSON | Undefined:
        arguments = [self._operand(argument) for argument in node.args]
        named = {name: self._operand(argument) for name, argument in _named(node).items()}
        try:
            result = FILTERS[node.name](value, *arguments, **named)
        except UnicodeError as error:
            message = f"{node.name}: half a surrogate pair is no text"
            raise ExpressionError("invalid_text", message) from error
        if not isinstance(result, Undefined):
            self.budget.spend(size(result))
        return result

    def _compare(self, node: nodes.Compare) -> bool:
        left = self._operand(node.expr)
        for operand in node.ops:
            right = self._operand(operand.expr)
            if not _COMPARISONS[operand.op](left, right):
                return False
            left = right
        return True


def _calculate(operator: type[nodes.Expr], left: JSON, right: JSON) -> JSON:
    if not (is_number(left) and is_number(right)):
        wrong = right if is_number(left) else left
        hint = "; ~ joins strings" if isinstance(wrong, str) else ""
        raise ExpressionError("type_mismatch", f"+ - * / take numbers, not {kind(wrong)}{hint}")
    try:
        return checked_number(_OPERATORS[operator](left, right))
    except ZeroDivisionError as error:
        raise ExpressionError("division_by_zero", "division by zero") from error
    except OverflowError as error:
        raise ExpressionError("not_finite", "the result is no finite number") from error


def _named(node: nodes.Filter) -> dict[str, nodes.Expr]:
    """A filter's named arguments (jinja2 types them as pairs of expressions)."""
    return {str(keyword.key): keyword.value for keyword in node.kwargs}


def written(node: nodes.Node) -> str:
    """A lookup as its author wrote it, near enough for a message."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            return f"{written(node.node)}.{node.attr}"
        case nodes.Getitem(arg=nodes.Const(value=str() as key)):
            return f"{written(node.node)}.{key}"
        case nodes.Getitem(arg=nodes.Const(value=key)):
            return f"{written(node.node)}[{key}]"
        case nodes.Getitem():
            return f"{written(node.node)}[…]"
    return "(…)"


def _quotes(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Filter) and node.name == "quote"


def _divide(left: float, right: float) -> float:
    """``10 / 2`` is 5, not 5.0: JSON has one kind of number, and 5 may index a list."""
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return left / right


def _contains(left: JSON, right: JSON) -> bool:
    match right:
        case list():
            return any(equal(left, item) for item in right)
        case dict():
            return isinstance(left, str) and left in right
        case str() if isinstance(left, str):
            return left in right
    raise ExpressionError("type_mismatch", f"{kind(left)} cannot be in {kind(right)}")


_OPERATORS: dict[type[nodes.Expr], Callable[[float, float], float]] = {
    nodes.Add: lambda left, right: left + right,
    nodes.Sub: lambda left, right: left - right,
    nodes.Mul: lambda left, right: left * right,
    nodes.Div: _divide,
}

_COMPARISONS: dict[str, Callable[[JSON, JSON], bool]] = {
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "lt": less,
    "gt": lambda left, right: less(right, left),
    "lteq": lambda left, right: not less(right, left),
    "gteq": lambda left, right: not less(left, right),
    "in": _contains,
    "notin": lambda left, right: not _contains(left, right),
}
