"""The tree that a reader builds: every value with the place where it stands.

Shared by the YAML and the JSON reader, so that both give the same values, refuse the same
things in the same words, and neither passes a cap that the other keeps.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from xyn_reconciler.desired.values import JSON, MAX_INTEGER
from xyn_reconciler.desired.wording import quoted

MAX_BYTES: Final = 1_000_000
"""Of one file: a document is written and read by people."""
MAX_DEPTH: Final = 64
"""Levels of mappings and lists; the document's own is the first."""

MAX_PROBLEMS: Final = 100
"""Of one file: who has more has one cause."""

_MAX_DIGITS: Final = 20


@dataclass(slots=True)
class Node:
    """A value and where its text begins and ends, counted in characters from the file's start."""

    start: int
    end: int
    value: JSON
    style: str = ""
    """How YAML wrote a scalar: ``|``, ``>``, a quote, or nothing."""
    children: "dict[str, Node] | list[Node]" = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    """Where each key of a mapping stands."""


class StopReading(Exception):  # noqa: N818 - a way out of the recursion, never an error that anybody sees
    """The rest of the file cannot be read; why is among the findings."""


@dataclass(slots=True)
class Findings:
    """Problems by offset: a reader knows no lines."""

    found: list[tuple[int, str, str]] = field(default_factory=list)
    more: int = 0
    """How many are not in ``found``, which has enough of them."""

    def add(self, offset: int, code: str, message: str) -> None:
        if len(self.found) < MAX_PROBLEMS:
            self.found.append((offset, code, message))
        else:
            self.more += 1

    def stop(self, offset: int, code: str, message: str) -> StopReading:
        # What stops the parser has often been found at the same place already.
        if not self.found or self.found[-1][::2] != (offset, message):
            self.found.append((offset, code, message))
        return StopReading()

    def enter(self, offset: int, depth: int) -> None:
        """Count a mapping or a list that begins; ``depth`` is 1 for the document's own."""
        if depth > MAX_DEPTH:
            raise self.stop(
                offset, "too_deep", f"nested deeper than {MAX_DEPTH} levels; flatten it"
            )

    def put(self, mapping: Node, key: str, offset: int, item: Node) -> None:
        """Add one entry to a mapping. The first of several equal keys keeps its value."""
        assert isinstance(mapping.children, dict)  # noqa: S101 - a mapping's node, for the type checker
        if key in mapping.children:
            self.add(
                offset,
                "duplicate_key",
                f"{quoted(key)} stands here a second time; keep one of them",
            )
            return
        mapping.children[key] = item
        mapping.keys[key] = offset

    def integer(self, offset: int, digits: str, base: int = 10) -> int:
        """The number, or 0 and a problem where it does not fit into 64 bits."""
        # Zeros in front are no size; a number of many digits takes quadratic time to read.
        if len(digits.lstrip("+-0")) <= _MAX_DIGITS or base != 10:  # noqa: PLR2004 - the decimal base
            number = int(digits, base)
            if abs(number) <= MAX_INTEGER:
                return number
        self.add(
            offset,
            "too_large",
            "this number does not fit into 64 bits; quote it to keep it as a string",
        )
        return 0

    def number(self, offset: int, digits: str) -> float:
        """The number, or 0 and a problem where it is infinite."""
        number = float(digits)
        if math.isfinite(number):
            return number
        self.add(offset, "not_finite", "this number is too large; quote it to keep it as a string")
        return 0.0


def complete(node: Node) -> Node:
    """Gather a mapping's or a list's value from its children, once all of them are there."""
    if isinstance(node.children, list):
        node.value = [child.value for child in node.children]
    else:
        node.value = {key: child.value for key, child in node.children.items()}
    return node
