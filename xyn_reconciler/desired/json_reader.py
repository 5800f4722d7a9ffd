"""Read JSON text with positions: what the standard library's reader does not keep.

Strings are unescaped by the standard library. RFC 8259, strictly: no comments, no trailing
commas, no NaN; and no key twice.
"""

import json
import re
from typing import Final

from xyn_reconciler.desired.tree import Findings, Node, complete

_SPACE: Final = re.compile(r"[ \t\n\r]+")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final = {"null": None, "true": True, "false": False}
_WORD: Final = re.compile(r"[a-zA-Z]+")


def read_json(text: str, findings: Findings) -> Node:
    """The tree of one JSON document; raises ``StopReading`` at the first thing that is not JSON."""
    reader = _Reader(text, findings)
    node = reader.value(1)
    if reader.space() < len(text):
        raise reader.unexpected("the document ends before this")
    return node


class _Reader:
    def __init__(self, text: str, findings: Findings) -> None:
        self.text = text
        self.findings = findings
        self.at = 0

    def space(self) -> int:
        if skipped := _SPACE.match(self.text, self.at):
            self.at = skipped.end()
        return self.at

    def value(self, depth: int) -> Node:
        start = self.space()
        match self.text[start : start + 1]:
            case "{":
                return self.mapping(start, depth)
            case "[":
                return self.sequence(start, depth)
            case '"':
                return Node(start, self.at, self.string(), '"')
        return self.scalar(start)

    def mapping(self, start: int, depth: int) -> Node:
        self.findings.enter(start, depth)
        node = Node(start, start, None)
        self.at += 1
        while not self.ends("}", empty=not node.children):
            offset = self.space()
            if self.text[offset : offset + 1] != '"':
                raise self.unexpected("a key in double quotes belongs here")
            key = self.string()
            if self.text[self.space() : self.at + 1] != ":":
                raise self.unexpected("a : belongs here, after the key")
            self.at += 1
            self.findings.put(node, key, offset, self.value(depth + 1))
        node.end = self.at
        return complete(node)

    def sequence(self, start: int, depth: int) -> Node:
        self.findings.enter(start, depth)
        items: list[Node] = []
        self.at += 1
        while not self.ends("]", empty=not items):
            items.append(self.value(depth + 1))
        return complete(Node(start, self.at, None, children=items))

    def ends(self, bracket: str, *, empty: bool) -> bool:
        """Whether the bracket closes here; else step over the comma before the next item."""
        found = self.text[self.space() : self.at + 1]
        if found == bracket:
            self.at += 1
            return True
        if not empty:
            if found != ",":
                raise self.unexpected(f"a , or {bracket} belongs here")
            self.at += 1
        return False

    def string(self) -> str:
        matched = _STRING.match(self.text, self.at)
        if matched is None:
            raise self.unexpected(
                "this string is not closed, or holds a bare line break or an unknown \\ escape"
            )
        string: str = json.loads(matched.group())
        if _SURROGATE.search(string):
            raise self.unexpected("half a surrogate pair is no text")
        self.at = matched.end()
        return string

    def scalar(self, start: int) -> Node:
        if number := _NUMBER.match(self.text, start):
            self.at = number.end()
            digits, whole = number.group(), number.group(1) is None and number.group(2) is None
            value = (self.findings.integer if whole else self.findings.number)(start, digits)
            return Node(start, self.at, value)
        word = _WORD.match(self.text, start)
        if word is None or word.group() not in _WORDS:
            raise self.unexpected("a value belongs here; a string stands in double quotes")
        self.at = word.end()
        return Node(start, self.at, _WORDS[word.group()])

    def unexpected(self, message: str) -> Exception:
        return self.findings.stop(self.at, "invalid_json", message)


_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
