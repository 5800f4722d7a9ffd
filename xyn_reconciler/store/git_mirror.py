"""Bring another Git server to where this repository is, by the git program.

The other side is a backup, so nothing there is overwritten or deleted unless it
is what was pushed there before: a home that was made anew by mistake, with the
same address in its ``node.yaml``, must not empty the one copy that is left.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store import git_command

_CREDENTIALS: Final = re.compile(r"://[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to."""

    there: dict[str, str]
    """Ref to tip, as it is there now, of the refs that are mirrored."""
    diverged: list[str] = field(default_factory=list)
    """Refs that were left alone: what is there did not come from here."""


def push(
    repository: Path,
    url: str,
    ours: Mapping[str, str],
    before: Mapping[str, str],
    *,
    seconds: float,
) -> Pushed:
    """Push ``ours``, ref to tip; ``before`` is what was there after the last push.

    A ref of ``before`` that is not in ``ours`` is deleted there. Raises
    :class:`~.git_command.GitError` with what the other side said, its address
    without credentials.
    """
    if not url or url.startswith("-"):
        raise InvalidError(f"{url!r} is not the address of a repository")
    theirs = _listed(repository, url, seconds)
    moves: dict[str, str] = {}
    diverged: list[str] = []
    for ref in sorted({*ours, *before}):
        old, new = theirs.get(ref), ours.get(ref)
        if old == new:
            continue
        if old is None or old == before.get(ref) or _is_ancestor(repository, old, new):
            moves[ref] = new or ""
        else:
            diverged.append(ref)
    if moves:
        # Each only if it is still as it was listed: somebody else may push there just now.
        leases = [f"--force-with-lease={ref}:{theirs.get(ref, '')}" for ref in moves]
        specs = [f"{new}:{ref}" for ref, new in moves.items()]
        _run(
            repository,
            ["push", "--quiet", "--no-verify", *leases, "--end-of-options", url, *specs],
            seconds,
        )
    there = {ref: theirs[ref] for ref in {*ours, *before} if ref in theirs} | moves
    return Pushed({ref: tip for ref, tip in there.items() if tip}, diverged)


def without_credentials(text: str) -> str:
    """Give a text without the names and passwords of addresses in it."""
    return _CREDENTIALS.sub("://", text)


def _listed(repository: Path, url: str, seconds: float) -> dict[str, str]:
    said = _run(repository, ["ls-remote", "--quiet", "--refs", "--end-of-options", url], seconds)
    found = {}
    for line in said.decode("utf-8", "replace").splitlines():
        tip, _, ref = line.partition("\t")
        found[ref] = tip
    return found


def _is_ancestor(repository: Path, old: str, new: str | None) -> bool:
    if new is None:
        return False
    asked = ["merge-base", "--is-ancestor", old, new]
    # 128: what is there is not known here.
    return git_command.run(repository, asked, accept=(0, 1, 128)).returncode == 0


def _run(repository: Path, arguments: list[str], seconds: float) -> bytes:
    try:
        return git_command.run(
            repository,
            arguments,
            env=git_command.network_environment(repository),
            seconds=seconds,
        ).stdout
    except git_command.GitError as error:
        raise git_command.GitError(without_credentials(error.message)) from None
