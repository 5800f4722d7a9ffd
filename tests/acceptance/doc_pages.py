"""The blocks of a page of the documentation, and what a block said would be printed.

A page's fenced blocks are its test. ``sh`` is typed in the second terminal and succeeds,
``sh refused`` fails, ``sh node`` is the first terminal: it stops the node if one runs, and starts
it with ``make up``. ``sh third`` is the third terminal, where a command stays and says ``ready``.
``text`` is what the block before it printed: its lines in their order, others between them, ``…``
for what differs each time; ``text third`` is what the third terminal shows.
"""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>\S[^\n]*)?\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_PRESS = re.compile(r"^<!-- the test presses: (?P<text>\w+) -->$", re.MULTILINE)
_PAGE = re.compile(r"<http://127\.0\.0\.1:8080(?P<text>/ui/[^>]*)>")


@dataclass(frozen=True)
class Block:
    """A fenced block; with the info ``press`` a button of the page, with ``look`` a page."""

    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        (m.start(), m["info"] or "", textwrap.dedent(m["text"])) for m in _FENCE.finditer(text)
    ]
    found += [(m.start(), "press", m["text"]) for m in _PRESS.finditer(text)]
    found += [(m.start(), "look", m["text"]) for m in _PAGE.finditer(text)]
    return [Block(info, said, text.count("\n", 0, at) + 2) for at, info, said in sorted(found)]


def assert_printed(expected: str, printed: str, where: str) -> None:
    """Every expected line is in what was printed, in the same order."""
    lines = iter(printed.splitlines())
    for wanted in filter(str.strip, expected.splitlines()):
        parts = (re.escape(part).replace(r"\ ", r"\s+") for part in wanted.split("…"))
        pattern = re.compile(r"\s*" + ".*".join(parts) + r"\s*")
        assert any(pattern.fullmatch(line) for line in lines), (
            f"{where}: {wanted!r} was not printed, or not after the line before it:\n{printed}"
        )
