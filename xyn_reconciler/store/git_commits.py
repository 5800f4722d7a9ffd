"""Commits: the object's text to a dataclass and back. Pure.

Who wrote what, when and why is read from here by the audit, the pages and the
recorder, which finds its runs again by the ``Run-Id`` trailers (state-repo.md).
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store.git_objects import CorruptObjectError

_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*): +(.*\S)")
_PERSON = re.compile(rb"(?P<who>.*) (?P<seconds>-?\d{1,18}) (?:[+-]\d{4})", re.DOTALL)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LATEST = 253402300799
"""The last second of the year 9999: a commit may claim any number."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; times are UTC."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    """``Name <mail>``."""
    message: str
    authored_at: dt.datetime
    committed_at: dt.datetime

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """``(key, value)`` of the last paragraph's ``Key: value`` lines, in their order."""
        paragraph = self.message.rstrip().rpartition("\n\n")[2].split("\n")
        if len(paragraph) == len(self.message.rstrip().split("\n")):
            return ()
        found = [_TRAILER.fullmatch(line) for line in paragraph]
        return tuple((line[1], line[2]) for line in found if line is not None)

    def trailer_values(self, key: str) -> tuple[str, ...]:
        """Values of one trailer, by its key without regard to case: ``Run-Id``."""
        wanted = key.casefold()
        return tuple(value for name, value in self.trailers if name.casefold() == wanted)


def parse_commit(sha: str, content: bytes) -> Commit:
    """Read a commit object; text that is not UTF-8 is shown with replacement characters."""
    head, _, message = content.partition(b"\n\n")
    tree = ""
    parents: list[str] = []
    people: dict[bytes, tuple[str, dt.datetime]] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"tree" and not tree:
            tree = value.decode("ascii", "replace")
        elif key == b"parent":
            parents.append(value.decode("ascii", "replace"))
        elif key in (b"author", b"committer"):
            people.setdefault(key, _person(value))
    if not tree or len(people) != 2:  # noqa: PLR2004 - author and committer
        raise CorruptObjectError(f"commit {sha} is damaged")
    author, authored_at = people[b"author"]
    return Commit(
        sha=sha,
        tree=tree,
        parents=tuple(parents),
        author=author,
        message=message.decode("utf-8", "replace"),
        authored_at=authored_at,
        committed_at=people[b"committer"][1],
    )


def serialize_commit(
    tree: str, parents: Sequence[str], message: str, author: str, now: dt.datetime
) -> bytes:
    """The bytes of a commit object; author and committer are the same, the time is UTC.

    Raises :class:`InvalidError` for an author that is not ``Name <mail>``: a
    line break in a name would forge headers.
    """
    if re.fullmatch(r"[^<>\n\0]+ <[^<>\n\0 ]*>", author) is None:
        raise InvalidError(f"{author!r} is not an author: write it as Name <mail>")
    who = f"{author} {int(now.timestamp())} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {who}", f"committer {who}", "", message.replace("\0", "").rstrip("\n")]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _person(value: bytes) -> tuple[str, dt.datetime]:
    found = _PERSON.fullmatch(value)
    if found is None:
        return value.decode("utf-8", "replace"), _EPOCH
    seconds = min(max(int(found["seconds"]), 0), _LATEST)
    return found["who"].decode("utf-8", "replace"), _EPOCH + dt.timedelta(seconds=seconds)
