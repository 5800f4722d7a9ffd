"""What loading one file gives: its normalised document, its problems, and what it refers to.

The reconciler stores it as a row (:meth:`Loaded.to_row`), so that a start reads
rows and parses nothing. A file with problems is never stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from xyn_reconciler.desired.place import Place
from xyn_reconciler.model.errors import Problem

Kind = Literal[
    "blueprint",
    "node",
    "policy",
    "source",
    "principals",
    "prices",
    "pack",
    "pack_settings",
    "pack_file",
    "prompt",
    "test",
    "known_hosts",
    "secret",
    "other",
]
ReferenceKind = Literal[
    "self",
    "action",
    "provider",
    "alias",
    "prompt",
    "node",
    "subject",
    "secret",
    "blueprint",
    "rule",
    "pack",
    "example",
    "provides",
    "setting",
    "file",
    "core",
]

START: Final = (1, 1)


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a file that means something elsewhere; ``self`` and ``rule`` are its own ids."""

    kind: ReferenceKind
    name: str
    line: int
    column: int
    place: Place = ()
    """Where it stands in the normalised document; of an action: its step, or its adapter."""
    inner: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)
    """Of an action and of a pack's settings: line and column of each value below what it is
    given, then of its key, by pointer."""

    def to_json(self) -> list[Any]:
        given = [self.kind, self.name, self.line, self.column, list(self.place)]
        return [*given, {key: list(value) for key, value in self.inner.items()}]

    @classmethod
    def from_json(cls, value: list[Any]) -> "Reference":
        kind, name, line, column, place, inner = value
        found = {key: (at[0], at[1], at[2], at[3]) for key, at in inner.items()}
        return cls(kind, name, line, column, tuple(place), found)


def pointer(place: Place) -> str:
    """A JSON pointer (RFC 6901) of a place."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One file, read. ``document`` is JSON, and None where it has problems."""

    path: str
    blob_id: str
    kind: Kind
    document_id: str
    """Unique among files of its kind; the path of prompts, tests and a pack's plain files."""
    document: Any
    problems: tuple[Problem, ...] = ()
    remarks: tuple[Problem, ...] = ()
    references: tuple[Reference, ...] = ()

    def to_row(self) -> dict[str, Any]:
        """JSON of the columns of a ``documents`` row that are the file's own."""
        return {
            "path": self.path,
            "blob_id": self.blob_id,
            "kind": self.kind,
            "document_id": self.document_id,
            "document": self.document,
            "reference_positions": [reference.to_json() for reference in self.references],
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Loaded":
        """Undo :meth:`to_row`; a stored file has no problems, and its remarks were told."""
        return cls(
            path=row["path"],
            blob_id=row["blob_id"],
            kind=row["kind"],
            document_id=row["document_id"],
            document=row["document"],
            references=tuple(map(Reference.from_json, row["reference_positions"])),
        )

    def named(self, kind: ReferenceKind) -> list[Reference]:
        return [reference for reference in self.references if reference.kind == kind]

    @property
    def id_position(self) -> tuple[int, int]:
        """Where its own id stands."""
        return next(((r.line, r.column) for r in self.references if r.kind == "self"), START)
