"""Read YAML text with positions, strictly.

libyaml parses; its *events* are read one by one, so that a file that nests too deeply is left
before the parser is deep in it (its composer recurses in C: 30,000 ``[`` end the process),
and constructed here: only YAML 1.2's core types (1.2.2, section 10.3), so ``no``, ``on`` and
``12:30`` stay strings. The traps: libyaml still reads YAML 1.1's line breaks and compares
each ``%TAG`` with all before, so neither reaches it.
"""

import re
from collections.abc import Iterator
from typing import Final

import yaml

from xyn_reconciler.desired.tree import Findings, Node, complete
from xyn_reconciler.desired.values import JSON
from xyn_reconciler.desired.wording import quoted

try:
    from yaml import CSafeLoader
except ImportError as error:
    raise ImportError(
        "Xyn needs PyYAML with libyaml, and this one was built without it:"
        " reinstall it from a wheel (pip install --force-reinstall --only-binary :all: PyYAML)"
    ) from error

_DIRECTIVES: Final = re.compile(r"(?:[ \t]*(?:#[^\n\r]*)?[\n\r])*%")
_REST: Final = re.compile(r"(?:\.\.\.)?[ \t]*(?:#[^\n\r]*)?(?:[\n\r]|\Z)")
_WORDS: Final[dict[str, JSON]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGERS: Final = (
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o[0-7]+"), 8),
    (re.compile(r"0x[0-9a-fA-F]+"), 16),
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BARE_EXPRESSION: Final = re.compile(r"(?:^|[-:,\[{])[ \t]*(\{\{)", re.MULTILINE)
_QUOTE_IT: Final = 'quote it: "{{ … }}" (YAML reads a bare { as the start of a mapping)'


def read_yaml(text: str, findings: Findings) -> Node | None:
    """The tree of one YAML document, None when there is none.

    Raises ``StopReading`` at the first thing that is not YAML.
    """
    if directive := _DIRECTIVES.match(text):
        raise findings.stop(
            directive.end() - 1, "directive", "remove this line: % directives are not read here"
        )
    events = yaml.parse(text, Loader=CSafeLoader)
    try:
        return _Reader(text, findings, events).document()
    except yaml.MarkedYAMLError as error:
        raise findings.stop(*_syntax(error, text)) from error


class _Reader:
    def __init__(self, text: str, findings: Findings, events: Iterator[yaml.Event]) -> None:
        self.text = text
        self.findings = findings
        self.events = events

    def document(self) -> Node | None:
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        node = self.node(next(self.events), 1)
        self._ends(_end(next(self.events)))
        return node

    def _ends(self, at: int) -> None:
        """See that nothing follows; libyaml is not asked, for it would read a second head."""
        while at < len(self.text):
            rest = _REST.match(self.text, at)
            if rest is None:
                self.findings.add(
                    at, "multiple_documents", "a second document begins here; a file holds one"
                )
                return
            at = rest.end()

    def node(self, event: yaml.Event, depth: int) -> Node:
        start = _start(event)
        if not isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent):
            self.findings.add(start, "alias", "write the value out: aliases are not followed here")
            return Node(start, _end(event), None)
        if event.anchor is not None:
            self.findings.add(start, "anchor", f"remove &{event.anchor}: anchors are not used here")
        if event.tag is not None:
            self.findings.add(
                start,
                "tag",
                f"remove the tag {quoted(event.tag)}: a value's type is how it is written",
            )
        match event:
            case yaml.MappingStartEvent():
                return self.mapping(start, depth)
            case yaml.SequenceStartEvent():
                return self.sequence(start, depth)
            case yaml.ScalarEvent():
                return Node(start, _end(event), self.scalar(event), event.style or "")
        raise AssertionError(event)  # libyaml has no other event that begins a value

    def mapping(self, start: int, depth: int) -> Node:
        self.findings.enter(start, depth)
        node = Node(start, start, None)
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            item = self.node(next(self.events), depth + 1)
            if self.is_key(key):
                self.findings.put(node, str(key.value), key.start, item)
        node.end = _end(event)
        return complete(node)

    def sequence(self, start: int, depth: int) -> Node:
        self.findings.enter(start, depth)
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return complete(Node(start, _end(event), None, children=items))

    def is_key(self, key: Node) -> bool:
        if self.text[max(0, key.start - 1) : key.start] == "?":
            # Within brackets libyaml takes even this ? for the mark of a key, as YAML 1.1 did.
            self.findings.add(key.start - 1, "invalid_yaml", "quote what begins with ?")
        elif key.value == "<<" and not key.style:
            self.findings.add(key.start, "merge_key", "write the keys out: << merges nothing here")
        elif isinstance(key.value, str):
            return True
        elif self.text.startswith("{", key.start) and self.text.startswith("{", key.start - 1):
            self.findings.add(key.start - 1, "non_string_key", _QUOTE_IT)
        elif isinstance(key.value, list | dict):
            self.findings.add(
                key.start, "non_string_key", "a key is a string; this is a list or a mapping"
            )
        else:
            written = self.text[key.start : key.end]
            hint = f'quote it: "{written}"' if written else "there is none before this :"
            self.findings.add(key.start, "non_string_key", f"a key is a string; {hint}")
        return False

    def scalar(self, event: yaml.ScalarEvent) -> JSON:
        written: str = event.value
        offset = _start(event)
        if not event.implicit[0]:  # quoted, or a block
            return written
        if written in _WORDS:
            return _WORDS[written]
        for pattern, base in _INTEGERS:
            if pattern.fullmatch(written):
                return self.findings.integer(offset, written, base)
        if _FLOAT.fullmatch(written):
            return self.findings.number(offset, written)
        if _NOT_FINITE.fullmatch(written):
            self.findings.add(
                offset,
                "not_finite",
                f'a number is finite; quote it to keep it as a string: "{written}"',
            )
        return written


def _start(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark is not None else 0


def _end(event: yaml.Event) -> int:
    return event.end_mark.index if event.end_mark is not None else 0


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str, str]:
    """Offset, code and a message that says what to do, for an error of libyaml's."""
    opened = error.context_mark
    mark = error.problem_mark or opened
    at = min(mark.index, len(text)) if mark is not None else 0
    # libyaml often notices at the start of the next line.
    line = text.rfind("\n", 0, max(0, at - 1)) + 1
    if bare := _BARE_EXPRESSION.search(text[line : at + _LOOK_AHEAD].split("\n", 1)[0]):
        return line + bare.start(1), "invalid_yaml", _QUOTE_IT
    problem = error.problem or "unreadable"
    advice = next((advice for words, advice in _ADVICE.items() if words in problem), None)
    if "cannot start any token" in problem:
        tab = text.startswith("\t", at)
        quote = f"quote it: no value can begin with {text[at : at + 1]}"
        advice = "indent with spaces, not with a tab" if tab else quote
    elif "end of stream" in problem and opened is not None:
        at, advice = opened.index, "this quote is not closed"
    elif "flow" in (error.context or "") and opened is not None:
        advice = f"a comma or the end of what line {opened.line + 1} opened is missing"
    return at, "invalid_yaml", advice or f"this is not YAML: {problem}"


_LOOK_AHEAD: Final = 200
_ADVICE: Final = {
    "mapping values": 'no key can stand here: check the indentation, or quote a value with ": "',
    "expected ':'": 'a key needs ": " behind it; a text of several lines begins with |',
    "expected key": "this does not line up with the keys above: indent it alike, or quote it",
    "'-' indicator": "this does not line up with the list above; check the indentation",
    "block sequence entries are not allowed": "a list's - begins on a line of its own",
    "expected <document start>": "the document ends before this: indent it, or quote all of it",
    "escape": r"in double quotes a \ begins an escape: write \\, or use single quotes",
}
"""A few of libyaml's own words, and what to do about it."""
