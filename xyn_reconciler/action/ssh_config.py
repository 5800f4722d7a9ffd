"""``~/.ssh/config`` of the node's user, as ``ssh.run`` reads it: hosts, users, ports, keys, jumps.

The traps: paramiko runs what ``Match exec`` names, for as long as that takes, and fabric reads
settings of its own. Here no program is run, and nothing but ssh's two files is read.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fabric
from paramiko import SSHConfig
from paramiko.ssh_exception import SSHException

from xyn_reconciler.model.errors import PermanentError

FILES: Final = ("~/.ssh/config", "/etc/ssh/ssh_config")
"""Of what both say, the first counts."""


def configuration() -> fabric.Config:
    """Read the files that are there; ``PermanentError`` (``invalid_ssh_config``)."""
    rules = _Rules()
    for name in FILES:
        path = Path(name).expanduser()
        try:
            if path.is_file():
                rules.parse(io.StringIO(path.read_text("utf-8", "replace")))
        except (OSError, SSHException) as error:
            raise invalid(name, error) from error
    return fabric.Config(ssh_config=rules, lazy=True)


def invalid(what: str, why: object) -> PermanentError:
    """Say what is wrong with them."""
    return PermanentError("invalid_ssh_config", f"{what}: {why}")


class _Rules(SSHConfig):
    def _does_match(self, match_list: Sequence[Mapping[str, Any]], *rest: Any) -> Any:  # noqa: ANN401 - paramiko has no types
        kinds = [criterion["type"] for criterion in match_list]
        if "exec" not in kinds:
            return super()._does_match(match_list, *rest)  # type: ignore[misc]  # left out of its types
        before = match_list[: kinds.index("exec")]
        if before and not super()._does_match(before, *rest):  # type: ignore[misc]  # as above
            return []
        raise invalid("Match exec", "no program is run to find out how to log in")
