"""Decide what must change; change nothing.

Pure: the same observed and desired state always give the same plan, so the
tests need neither Git nor Postgres, and ``xynctl reconcile --dry-run`` prints
exactly what :mod:`xyn_reconciler.reconcile.apply` would do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One file to bring into service, to bring up to date, or to take out of service."""

    path: str
    kind: Literal["activate", "update", "retire"]
    blob_id: str | None
    """What becomes active; ``None`` when it is retired."""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


def plan(observed: Mapping[str, str], desired: Mapping[str, str]) -> list[Change]:
    """Give the changes between two states, path to blob, by path. Looks at everything."""
    paths = observed.keys() | desired.keys()
    return plan_changes(observed, {path: desired.get(path) for path in paths})


def plan_changes(observed: Mapping[str, str], differing: Mapping[str, str | None]) -> list[Change]:
    """As :func:`plan`, for the paths alone that a tree diff found: O(changed).

    ``differing`` maps a path to the blob that is desired there, or to ``None``.
    A path that is as it should be makes no change.
    """
    found = []
    for path, blob in differing.items():
        active = observed.get(path)
        if active == blob:
            continue
        if blob is None:
            found.append(Change(path, "retire", None))
        else:
            found.append(Change(path, "activate" if active is None else "update", blob))
    return sorted(found)
