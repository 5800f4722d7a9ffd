"""Read a file of the repository and remember where every value stands.

All that is said about a file is said through :meth:`Source.problem`, at the line and column a
person would edit. The traps: the file may be anything at all (it comes from a push), so no
parser sees more of it than the caps allow; and libyaml counts more line breaks than editors
do, so lines are counted here.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, TypeAlias

from xyn_reconciler.desired.json_reader import read_json
from xyn_reconciler.desired.tree import MAX_BYTES, Findings, Node, StopReading
from xyn_reconciler.desired.values import JSON
from xyn_reconciler.desired.yaml_reader import read_yaml
from xyn_reconciler.model.errors import Problem

__all__ = ["JSON", "MAX_BYTES", "Location", "Source", "parse"]

Location: TypeAlias = Sequence[str | int]
"""Keys and indices from the top: ``("plan", 0, "mode")``."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_FOREIGN_BREAK: Final = re.compile("[\x85\u2028\u2029]")
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What YAML 1.2.2 does not allow unescaped (section 5.1), and a byte order mark further in."""
_WORD: Final = re.compile(r"\w+|[^\w\s\"'\\]+")


@dataclass(frozen=True)
class Source:
    """One file's value and the places of everything in it."""

    path: str
    text: str = field(repr=False)
    """Without the byte order mark."""
    root: Node = field(repr=False)

    @property
    def value(self) -> JSON:
        return self.root.value

    def position(self, location: Location, *, offset: int | None = None) -> tuple[int, int]:
        """Line and column, from 1, of the value there, or of what would hold it if it is missing.

        ``offset`` counts characters inside a string value: the position is that character's, or
        the string's start where its escapes hide which one it is.
        """
        node = self._nearest(location)[0]
        return self._line_and_column(node.start if offset is None else self._within(node, offset))

    def key_position(self, location: Location) -> tuple[int, int]:
        """Line and column, from 1, of the key itself; of the value if it has none."""
        parent, rest = self._nearest(location[:-1])
        if not rest and location and location[-1] in parent.keys:
            return self._line_and_column(parent.keys[str(location[-1])])
        return self.position(location)

    def problem(
        self,
        location: Location,
        code: str,
        message: str,
        *,
        at_key: bool = False,
        offset: int | None = None,
    ) -> Problem:
        """A problem at :meth:`position`, or at :meth:`key_position`."""
        line, column = (
            self.key_position(location) if at_key else self.position(location, offset=offset)
        )
        return Problem(self.path, line, column, code, message)

    def _nearest(self, location: Location) -> tuple[Node, Location]:
        """The last node on the way that exists, and what is left of the way."""
        node = self.root
        for passed, step in enumerate(location):
            match node.children, step:
                case dict() as items, str() if step in items:
                    node = items[step]
                case list() as items, int() if 0 <= step < len(items):
                    node = items[step]
                case _:
                    return node, location[passed:]
        return node, ()

    def _within(self, node: Node, offset: int) -> int:
        """Where in the file a character of a string stands.

        The word around it is found again in the written text, as the one that comes after as many
        equal ones. That holds for every style that changes nothing but white space.
        """
        value = node.value
        if not isinstance(value, str):
            return node.start
        word = next((found for found in _WORD.finditer(value) if found.end() > offset), None)
        if word is None or word.start() > offset:
            return node.start
        begin = node.start
        if node.style in ("|", ">"):
            begin = self.text.find("\n", begin, node.end) + 1
        written = word.group()
        if value.count(written) != self.text.count(written, begin, node.end):
            return node.start
        at = begin - 1
        for _ in range(value.count(written, 0, word.start()) + 1):
            at = self.text.find(written, at + 1, node.end)
        return at + offset - word.start()

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(end.end() for end in _LINE_END.finditer(self.text))]

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


def parse(path: str, text: bytes | str) -> tuple[Source | None, list[Problem]]:
    """Read one file; as JSON where its name ends in ``.json``, else as YAML.

    Never raises for a bad file: one that cannot be read gives None and what stopped the reader;
    a key that stands twice gives a source, with its first value, and a problem per repeat (YAML
    1.2.2, section 3.2.1.3: keys are unique). Problems come sorted.
    """
    findings = Findings()
    decoded = _decoded(text, findings)
    try:
        root = _read(path, decoded, findings)
    except StopReading:
        root = None
    source = Source(path, decoded, root or Node(0, 0, None))
    problems = sorted(
        Problem(path, *source._line_and_column(offset), code, message)  # noqa: SLF001 - this module's own
        for offset, code, message in findings.found
    )
    if findings.more:
        problems.append(too_many(problems[-1], findings.more))
    return (source if root is not None else None), problems


def too_many(last: Problem, more: int) -> Problem:
    """Say behind the last problem of a file how many are not told."""
    return replace(last, code="too_many_problems", message=f"{more:,} more are not shown")


def _read(path: str, text: str, findings: Findings) -> Node:
    if findings.found:
        raise StopReading
    if path.endswith(".json") and text.strip():
        return read_json(text, findings)
    if foreign := _FOREIGN_BREAK.search(text):
        escape = f"\\u{ord(foreign.group()):04x}"
        raise findings.stop(
            foreign.start(),
            "control_character",
            f'this line break is read in two ways; write it as "{escape}"',
        )
    if unprintable := _UNPRINTABLE.search(text):
        name = f"U+{ord(unprintable.group()):04X}"
        raise findings.stop(
            unprintable.start(),
            "control_character",
            f"remove the character {name}, or write it as an escape in double quotes",
        )
    root = read_yaml(text, findings)
    if root is None:
        raise findings.stop(0, "empty_document", "this file is empty")
    return root


def _decoded(given: bytes | str, findings: Findings) -> str:
    """The text, as much of it as is UTF-8, within the cap and without its byte order mark."""
    data = given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass")
    if len(data) > MAX_BYTES:
        findings.add(0, "too_large", f"{len(data):,} bytes; a file here has at most {MAX_BYTES:,}")
        return ""
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().removeprefix("\ufeff")
        findings.add(
            len(before),
            "not_utf8",
            f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8",
        )
        return before
