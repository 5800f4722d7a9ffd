"""Read an expression into the nodes that the language allows.

The grammar is Jinja's, read by jinja2's own parser; of its nodes only those listed here pass.
The trap: jinja2 knows lines and no columns, so its lexer is made to number tokens by their
offset, and ``node.lineno`` is an *offset in the text* everywhere in this room.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from xyn_reconciler.desired.filters import FILTERS, compiled
from xyn_reconciler.desired.values import ExpressionError, checked_number
from xyn_reconciler.desired.wording import did_you_mean, quoted

Kind: TypeAlias = Literal["template", "expression", "prompt"]
"""A string with ``{{ }}``; a bare expression, as in ``when``; a prompt file."""

MAX_FINDINGS: Final = 20
"""Findings of one text that are reported; who has more has one cause."""
_MAX_TOKENS: Final = 500
"""Of one expression; a longer one is a program, and belongs into an action."""
_MAX_EXPRESSIONS: Final = 1_000
"""Of one text."""
_MAX_TOKEN: Final = 10_000
"""Characters of one name, number or string."""
_MAX_NESTING: Final = 32
"""Brackets within brackets, or blocks within blocks: jinja2's parser recurses over them."""
_MAX_DEPTH: Final = 100
"""Of the tree, which the evaluator recurses over."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something wrong in an expression; ``offset`` counts characters from the text's start."""

    offset: int
    code: str
    message: str


class InvalidExpressionError(ExpressionError):
    """A text that is not of the language; ``findings`` says all that is wrong, in order."""

    code = "invalid_expression"

    def __init__(self, *findings: Finding) -> None:
        self.findings = tuple(sorted(findings)[:MAX_FINDINGS])
        worst = self.findings[0]
        super().__init__(worst.code, worst.message, offset=worst.offset)


def read(text: str, kind: Kind) -> list[nodes.Node]:
    """The text's nodes, all of them allowed; raises :class:`InvalidExpressionError`."""
    try:
        parser = Parser(_READERS[kind], text, state="variable" if kind == "expression" else None)
        body = [_bare(parser)] if kind == "expression" else parser.parse().body
    except TemplateSyntaxError as error:
        raise InvalidExpressionError(_syntax_finding(error, text, kind)) from error
    except (RecursionError, ValueError) as error:
        # A number of thousands of digits is a ValueError of Python's.
        raise InvalidExpressionError(
            Finding(0, "too_complex", "this is too much to read")
        ) from error
    found = [finding for node in body for finding in _forbidden(node, text)]
    if found:
        raise InvalidExpressionError(*found)
    return body


def usage(name: str) -> str:
    """How a filter is written: ``value | replace(old, new, count=…)``."""
    _, *parameters = inspect.signature(FILTERS[name]).parameters.values()
    arguments = ", ".join(
        parameter.name
        if parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY
        else f"{parameter.name}=…"
        for parameter in parameters
    )
    return f"value | {name}({arguments})" if arguments else f"value | {name}"


class _RefusedError(TemplateSyntaxError):
    """Jinja might take it; the language does not."""

    def __init__(self, offset: int, refused: str, message: str) -> None:
        super().__init__(message, offset)
        self.refused = refused


class _Reader(Environment):
    """An environment whose tokens carry their offset where jinja2's carry their line."""

    def __init__(self, *, prompt: bool) -> None:
        # A block on a line of its own leaves no empty line in a prompt.
        super().__init__(keep_trailing_newline=True, trim_blocks=prompt, lstrip_blocks=prompt)
        self.prompt = prompt

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        numbered = self._numbered(source, state)
        return TokenStream(self.lexer.wrap(numbered, name, filename), name, filename)

    def _numbered(self, source: str, state: str | None) -> Iterator[tuple[int, str, str]]:
        limits = _Limits()
        # jinja2 makes a carriage return a newline, and every offset behind it would be wrong.
        lexed = source.replace("\r", " ")
        tokens = self.lexer.tokeniter(lexed, None, None, state)
        end = 0
        while True:
            try:
                _, kind, raw = next(tokens)
            except StopIteration:
                return
            except TemplateSyntaxError as error:
                raise _RefusedError(end, "invalid_expression", _lexer_words(error)) from error
            # Only white space that {%- took away can lie in between.
            start = lexed.index(raw, end)
            end = start + len(raw)
            if "\r" in source[start:end] and kind == "string":
                raise _RefusedError(start, "invalid_expression", "write a carriage return as \\r")
            self._refuse(start, kind, raw)
            limits.count(start, kind, raw)
            yield start, kind, raw

    def _refuse(self, start: int, kind: str, raw: str) -> None:
        if kind == "comment_begin" or (kind in ("block_begin", "raw_begin") and not self.prompt):
            allowed = (
                "if, for and raw are a prompt's only blocks"
                if self.prompt
                else "only {{ … }} is read here"
            )
            itself = f"to write {raw[:2]} itself: {{{{ '{raw[:2]}' }}}}"
            raise _RefusedError(start, "statement", f"{allowed}; {itself}")
        if not self.prompt and kind in ("variable_begin", "variable_end") and "-" in raw:
            message = (
                "a - beside the brackets trims in Jinja, and nothing here: put a space between"
            )
            raise _RefusedError(start, "invalid_expression", message)


@dataclass(slots=True)
class _Limits:
    """Counts what jinja2's parser would recurse over, before it does."""

    expressions: int = 0
    tokens: int = 0
    brackets: int = 0
    blocks: int = 0

    def count(self, start: int, kind: str, raw: str) -> None:
        if kind.endswith("_begin"):
            self.tokens = self.brackets = 0
            self.expressions += 1
        elif kind not in ("data", "whitespace"):
            self.tokens += 1
            self.brackets += (raw in ("(", "[", "{")) - (raw in (")", "]", "}"))
            self.blocks += (self.tokens == 1) * ((raw in _OPENING) - (raw in _CLOSING))
            if (
                self.expressions > _MAX_EXPRESSIONS
                or self.tokens > _MAX_TOKENS
                or len(raw) > _MAX_TOKEN
            ):
                raise _RefusedError(start, "too_complex", "this is too long; split it up")
            if max(self.brackets, self.blocks) > _MAX_NESTING:
                raise _RefusedError(start, "too_complex", _TOO_DEEP)


_TOO_DEEP: Final = "this is nested too deeply; split it up"
_OPENING: Final = ("if", "for")
_CLOSING: Final = ("endif", "endfor")

_READERS: Final[Mapping[Kind, _Reader]] = {
    "template": _Reader(prompt=False),
    "expression": _Reader(prompt=False),
    "prompt": _Reader(prompt=True),
}


def _bare(parser: Parser) -> nodes.Node:
    expression = parser.parse_expression()
    if not parser.stream.eos:
        parser.fail("one expression ends before this; and, or, ~ or | may be missing")
    return nodes.Output([expression], lineno=0)


def _lexer_words(error: TemplateSyntaxError) -> str:
    message = re.sub(r" at \d+$", "", str(error.message))
    return "this quote is not closed" if message.endswith(("'\"'", '"\'"')) else message


def _syntax_finding(error: TemplateSyntaxError, text: str, kind: Kind) -> Finding:
    message = str(error.message)
    code = error.refused if isinstance(error, _RefusedError) else "invalid_expression"
    if kind == "expression" and text.lstrip().startswith("{{"):
        return Finding(0, code, "write the expression bare, without {{ and }}")
    if "end of template" in message:
        message = "this is not finished" + ("" if kind == "expression" else "; is a }} missing?")
    elif message.startswith("expected token 'end of print statement'"):
        message = "one {{ … }} holds one expression, which ends before this"
    elif message.startswith("Expected an expression"):
        message = "an expression is missing here"
    return Finding(min(error.lineno, len(text)), code, message)


_ALLOWED: Final = (
    nodes.Output, nodes.If, nodes.For,
    nodes.Name, nodes.Getattr, nodes.Getitem, nodes.TemplateData, nodes.Const,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr,
    nodes.Test, nodes.Filter,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.Neg, nodes.Pos, nodes.Concat,
)  # fmt: skip

_HINTS: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Call: "there are no calls; a filter is written value | filter",
    nodes.Slice: "there are no slices; use first, last or one index",
    nodes.Mod: "% is not of the language; there are + - * /",
    nodes.FloorDiv: "// is not of the language; there are + - * /",
    nodes.Pow: "** is not of the language; there are + - * /",
}


def _forbidden(root: nodes.Node, text: str) -> Iterator[Finding]:
    """Whatever in the tree is Jinja's but not the language's. Settles the literals on its way."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, nodes.TemplateData):
            # Before jinja2 touched its line ends.
            node.data = text[node.lineno : node.lineno + len(node.data)]
        if depth > _MAX_DEPTH:
            yield Finding(node.lineno, "too_complex", _TOO_DEEP)
            return
        if isinstance(node, nodes.Filter):
            trouble = _filter_trouble(node)
        else:
            message = _trouble(node)
            trouble = None if message is None else ("invalid_expression", message)
        if trouble is not None:
            yield Finding(node.lineno, *trouble)
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())


def _trouble(node: nodes.Node) -> str | None:
    match node:
        case nodes.Const():
            return _settle(node)
        case nodes.CondExpr(expr2=None):
            return "say what else it is: a if c else b"
        case nodes.For() if node.recursive or not isinstance(node.target, nodes.Name):
            return "for takes one name and no recursive: {% for item in list %}"
        case nodes.Test() if node.name != "defined":
            return f"the only test is defined, not {quoted(node.name)}; compare with =="
    return (
        None
        if isinstance(node, _ALLOWED)
        else _HINTS.get(type(node), "this is not of the language")
    )


def _settle(node: nodes.Const) -> str | None:
    """Make a literal JSON, or say why it cannot be."""
    match node.value:
        case str() as string:
            try:
                # "\ud83d\ude00" is one character in JSON, and two halves in Python.
                node.value = string.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                return "half a surrogate pair is no text"
        case int() | float() as number if not isinstance(number, bool):
            try:
                checked_number(number)
            except ExpressionError:
                return "this number is too large"
    return None


def _filter_trouble(node: nodes.Filter) -> tuple[str, str] | None:
    function = FILTERS.get(node.name)
    if function is None:
        return "unknown_filter", f"no filter {quoted(node.name)}{did_you_mean(node.name, FILTERS)}"
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "invalid_expression", "* and ** are not of the language"
    signature = inspect.signature(function)
    try:
        signature.bind(None, *node.args, **{str(pair.key): pair.value for pair in node.kwargs})
    except TypeError as error:
        return "invalid_argument", f"{node.name}: {error}; {usage(node.name)}"
    match node:
        case nodes.Filter(name="regex_match", args=[nodes.Const(value=str() as pattern)]):
            try:
                compiled(pattern)
            except ExpressionError as error:
                return error.failure_code, error.message
    return None
