"""Ask git about a whole repository: every object's digest, and the signatures of commits.

For ``xynctl verify``, which also looks at plain mirrors; nothing is written.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from xyn_reconciler.store import git_command

FSCK_SECONDS: Final = 3600.0
_AT_ONCE: Final = 500
"""Commits that one command is asked about."""


def damaged_objects(repository: Path) -> list[str]:
    """Give a sentence of git's for each object that is missing or not what its name says."""
    done = git_command.run(
        repository,
        ["fsck", "--full", "--no-dangling", "--no-progress"],
        seconds=FSCK_SECONDS,
        accept=range(256),
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    # Git warns of odd contents of a sound object, as a pusher of drafts may choose them.
    found = [line for line in said if line and not line.startswith(("notice:", "warning in "))]
    if done.returncode and not found:
        return [f"git fsck ended with {done.returncode}"]
    return found


def signatures(
    repository: Path, commits: Sequence[str], allowed_signers: bytes
) -> Iterator[tuple[str, str]]:
    """Give ``(commit, git's letter)``: ``G`` good, ``N`` none, ``U`` of nobody in the list.

    ``B`` is bad, ``E`` cannot be checked: git-log(1), ``%G?``.
    """
    with tempfile.NamedTemporaryFile(prefix="xyn-allowed-signers-") as file:
        file.write(allowed_signers)
        file.flush()
        for start in range(0, len(commits), _AT_ONCE):
            done = git_command.run(
                repository,
                [
                    *("-c", f"gpg.ssh.allowedSignersFile={file.name}"),
                    *("log", "--no-walk=unsorted", "--format=%H %G?", "--end-of-options"),
                    *commits[start : start + _AT_ONCE],
                ],
            )
            for line in done.stdout.decode("ascii", "replace").splitlines():
                commit, _, letter = line.partition(" ")
                yield commit, letter
