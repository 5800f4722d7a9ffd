"""What a container may be: the arguments of the engine's ``create``, of what a step asks for.

Pure. All that is not allowed is simply not there: no privilege, no capability,
no folder of the machine, no network unless one is named, a root that cannot be
written, an ordinary user, and bounds on everything. The one folder that a step
has is a volume of its own, which goes with the container.
"""

import functools
import os
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.model.units import parse_size

RUN_LABEL: Final = "xyn.run_id"
STEP_LABEL: Final = "xyn.step_id"
PROCESS_LABEL: Final = "xyn.process"

MEMORY: Final = "256MB"
"""Memory of a container where ``memory`` says nothing; there is no swap."""
LEAST_MEMORY: Final = 7_000_000
"""Just above the engine's own least."""
MOST_MEMORY: Final = 8_000_000_000
PIDS: Final = 128
OPEN_FILES: Final = 1024
USER: Final = "65534:65534"
"""nobody, on every Linux."""
FOLDER: Final = "/step"
"""Where the step's own folder is: ``in`` cannot be written, ``out`` can."""
_TMP_OPTIONS: Final = "rw,nosuid,nodev,size=64m"

_USER: Final = re.compile(r"[1-9][0-9]{0,8}(:[1-9][0-9]{0,8})?")
_NETWORK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SHARED_NETWORKS: Final = frozenset({"host", "bridge", "default", "none"})
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def this_process() -> str:
    """Give the name of this process alone: a fork is another one."""
    return _name_of(os.getpid())


@functools.cache
def _name_of(_pid: int) -> str:
    return uuid.uuid4().hex


def settings(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
    """Give everything but ``image``; raises ``PermanentError`` (``invalid_inputs``)."""
    memory = _memory(inputs.get("memory", MEMORY))
    user = owner(inputs)
    return {
        # As entrypoint, so that the image's own is not put before it.
        "entrypoint": [_word(word) for word in inputs["argv"]],
        "environment": {
            _matching(_ENV_NAME, name, "the name of a variable"): _word(value)
            for name, value in inputs.get("env", {}).items()
        },
        "user": user,
        "network_mode": _network(inputs.get("network")),
        "labels": {
            RUN_LABEL: str(context.run_id),
            STEP_LABEL: str(context.step_id),
            PROCESS_LABEL: this_process(),
        },
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": inputs.get("pids", PIDS),
        "nano_cpus": round(inputs.get("cpus", 1) * 1_000_000_000),
        "ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": context.artifact_max, "Hard": context.artifact_max},
        ],
        "read_only": True,
        # Its owner is said, since the engine may give it the mode of the image's folder.
        "tmpfs": {"/tmp": f"{_TMP_OPTIONS},uid={user.partition(':')[0]}"},  # noqa: S108 - in there
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "privileged": False,
        # Nor what ~/.docker/config.json says of proxies, passwords and all.
        "use_config_proxy": False,
        "ipc_mode": "private",
        # What it prints is read as it comes and kept by us.
        "log_config": {"Type": "none", "Config": {}},
    }


def owner(inputs: Mapping[str, Any]) -> str:
    """The user that the command is, by number."""
    return _matching(_USER, inputs.get("user", USER), "a user by number other than 0")


def _matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise PermanentError("invalid_inputs", f"{text!r} is not {what}")
    return text


def _word(value: str | float) -> str:
    word = str(value)
    if "\0" in word:
        raise PermanentError("invalid_inputs", "a command cannot hold the character NUL")
    return word


def _network(name: str | None) -> str:
    if name is None:
        return "none"
    if name in _SHARED_NETWORKS or not _NETWORK.fullmatch(name):
        message = f"{name!r} is not a network made for containers like this (docker network create)"
        raise PermanentError("invalid_inputs", message)
    return name


def _memory(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise PermanentError("invalid_inputs", f"memory: {error}") from error
    if not LEAST_MEMORY <= size <= MOST_MEMORY:
        raise PermanentError("invalid_inputs", "memory is between 7MB and 8GB")
    return size
