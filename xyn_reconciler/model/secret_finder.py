"""Find known values and the shapes of tokens in a text, and put something in their place.

Made to be fast where there is nothing to find: the values stand in one expression, and a
token's expression is asked for its literal beginning first. ``model.redaction`` relies on it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.secret_forms import expression
from xyn_reconciler.model.token_patterns import TOKEN_PATTERNS
from xyn_reconciler.model.unescaped import certain, unescaped, with_places


@dataclass(frozen=True, slots=True)
class _Token:
    """One shape: ``hint`` finds where it may begin, quickly, ``whole`` says whether it does."""

    sign: re.Pattern[str]
    """Found in every text that has the shape, and in few others: asked before all else."""
    hint: re.Pattern[str]
    skip: int
    """Characters between where the hint and where the shape begin."""
    whole: re.Pattern[str]

    def find(self, text: str, start: int) -> tuple[int, int] | None:
        """The first place at or after ``start``, as (begin, end)."""
        while (hint := self.hint.search(text, start)) is not None:
            whole = self.whole.match(text, hint.start() + self.skip)
            if whole is not None:
                return whole.span()
            start = hint.start() + 1
        return None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Every place, as (begin, end), in order."""
        at = 0
        while (found := self.find(text, at)) is not None:
            yield found
            at = max(found[1], found[0] + 1)


def _hint(regex: str) -> tuple[str, int]:
    """Give an expression without the look behind that it begins with, and what that would skip.

    Python looks for a literal beginning quickly, and tries a look behind everywhere.
    """
    behind = re.match(r"\(\?<(?P<kind>[!=])(?P<what>(?:\[[^\]]*\]|[^()\[\]])*)\)", regex)
    if behind is None:
        return regex, 0
    rest = regex[behind.end() :]
    if behind["kind"] == "!":
        return rest, 0
    # Of those that must stand before there are only literal ones.
    return behind["what"] + rest, len(behind["what"])


_SIGNS: Final = {"a Stripe key": "k_live_|k_test_|whsec_"}
"""For hints that begin with letters so common that Python would look at each of them."""

_TOKENS: Final = [
    _Token(
        re.compile(_SIGNS.get(pattern.name, hint)),
        re.compile(hint),
        skip,
        re.compile(pattern.regex),
    )
    for pattern in TOKEN_PATTERNS
    for hint, skip in [_hint(pattern.regex)]
]
_TEXT_END: Final = re.compile(
    r"-----BEGIN (?:(?!-----END [A-Z0-9 ]{0,40}-----)[\s\S])*\Z"
    r"|(?<!\S)(?:[Bb][Ee][Aa][Rr][Ee][Rr] +\S*|\S+)\Z"
)
"""The end of a text that may be the beginning of a token: its last word, or an open key."""

_LONGEST_END: Final = 16 * 1024
"""Characters of such an end that are waited with: no token is longer."""

_HEAD: Final = 4


class Finder:
    """Values and tokens."""

    def __init__(self, known: Iterable[str], instead: str) -> None:
        self._known = sorted(known)
        self._heads = frozenset(text[:_HEAD] for text in self._known)
        self.longest = max(map(len, self._known), default=1)
        """How many characters the longest value has; at least one."""
        written = expression(self._known)
        self._values = re.compile(written) if written else None
        # Bound once: most texts have no sign of any, and are asked for all of them.
        self._tokens = [(token.sign.search, token) for token in _TOKENS]
        self._instead = instead

    def finds(self, text: str) -> bool:
        if self.holds_value(text):
            return True
        for sign, token in self._tokens:
            if sign(text) is not None and token.find(text, 0) is not None:
                return True
        return False

    def holds_value(self, text: str) -> bool:
        if self._values is None:
            return False
        return self._values.search(text) is not None or next(self._hidden(text), None) is not None

    def replace(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(lambda _: self._instead, text)
            text = self._without(text, self._hidden(text))
        for sign, token in self._tokens:
            if sign(text) is not None:
                text = self._without(text, token.spans(text))
        return text

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where each value and token stands, as (begin, end)."""
        if self._values is not None:
            yield from (found.span() for found in self._values.finditer(text))
            yield from self._hidden(text)
        for sign, token in self._tokens:
            if sign(text) is not None:
                yield from token.spans(text)

    def _hidden(self, text: str) -> Iterator[tuple[int, int]]:
        """Where values stand of which something is escaped."""
        read = unescaped(text)
        if read is text or self._values is None or self._values.search(read) is None:
            return
        read, place = with_places(text)
        yield from (place(found.span()) for found in self._values.finditer(read))

    def _without(self, text: str, spans: Iterable[tuple[int, int]]) -> str:
        kept: list[str] = []
        at = 0
        for begin, end in spans:
            if begin >= at:
                kept += [text[at:begin], self._instead]
            at = max(at, end)
        return "".join([*kept, text[at:]]) if kept else text

    def settled(self, text: str) -> int:
        """How much of a text's beginning cannot be part of a value or token that goes on."""
        settled = min(self._begun_value(text), self._begun_token(text), self._begun_hidden(text))
        while settled < len(text):
            across = (begin for begin, end in self.spans(text) if begin < settled < end)
            begin = next(across, settled)
            if begin == settled:
                break
            settled = begin
        return settled

    def _begun_hidden(self, text: str) -> int:
        """As :meth:`_begun_value`, of values of which something is escaped."""
        sure = certain(text)
        read, place = with_places(sure)
        if read == text:
            return len(text)
        at = self._begun_value(read)
        return len(text) if at == len(read) else place((at, len(read)))[0]

    def _begun_value(self, text: str) -> int:
        """Where the longest end that is the beginning of a known value begins."""
        length = len(text)
        for at in range(max(0, length - self.longest + 1), length):
            if at + _HEAD <= length and text[at : at + _HEAD] not in self._heads:
                continue
            end = text[at:]
            place = bisect_left(self._known, end)
            if place < len(self._known) and self._known[place][: len(end)] == end:
                return at
        return length

    def _begun_token(self, text: str) -> int:
        last = max(0, len(text) - _LONGEST_END)
        found = _TEXT_END.search(text, last)
        if found is not None:
            return found.start()
        # Its last word may be longer than that.
        return len(text) if not text or text[-1].isspace() else last
