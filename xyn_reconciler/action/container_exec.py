"""``container.exec``: one command in a container that can do nothing but compute.

No privilege, no capability, no folder of this machine, no network, a root that
cannot be written, an ordinary user, and bounds on memory, processes, CPU and
time. The image is named by its content, so what was reviewed is what runs.
The container goes with the step; what a killed node left is found by its labels.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.output import Output, output_properties
from xyn_reconciler.action.watch import ended_by
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.model.units import parse_size

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

RUN_LABEL: Final = "xyn.run_id"
STEP_LABEL: Final = "xyn.step_id"
PROCESS_LABEL: Final = "xyn.process"
_THIS_PROCESS: Final = uuid.uuid4().hex

MEMORY: Final = "256MB"
"""Memory of a container where ``memory`` says nothing; there is no swap."""
LEAST_MEMORY: Final = 7_000_000
"""Just above the engine's own least."""
MOST_MEMORY: Final = 8_000_000_000
PIDS: Final = 128
USER: Final = "65534:65534"
"""nobody, on every Linux."""
_TMP_OPTIONS: Final = "rw,nosuid,nodev,size=64m"
_ENGINE_SECONDS: Final = 60
"""How long the engine may take to answer one request."""
_SOCKET: Final = Path("/var/run/docker.sock")

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image", "argv"],
    "properties": {
        "image": {
            "type": "string",
            "description": "NAME@sha256:DIGEST, or sha256:ID of an image that the engine has.",
        },
        "argv": {
            "type": "array",
            "minItems": 1,
            "items": {"type": ["string", "number"]},
            "description": "The program and its arguments; the image's own entrypoint is not used.",
        },
        "env": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "user": {"type": "string", "default": USER, "description": "UID or UID:GID, never 0."},
        "network": {
            "type": "string",
            "description": "A network made for it on the engine; none by default.",
        },
        "memory": {"type": "string", "default": MEMORY, "description": "At most 8GB."},
        "pids": {"type": "integer", "minimum": 1, "maximum": 4096, "default": PIDS},
        "cpus": {"type": "number", "exclusiveMinimum": 0, "maximum": 64, "default": 1},
    },
}

OUTPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["exit_status", "stdout", "stdout_bytes", "stderr", "stderr_bytes"],
    "properties": {
        "exit_status": {"type": "integer"},
        **output_properties("stdout"),
        **output_properties("stderr"),
    },
}

_IMAGE: Final = re.compile(r"([a-z0-9][a-z0-9._/:-]{0,254}@)?sha256:[0-9a-f]{64}")
_USER: Final = re.compile(r"[1-9][0-9]{0,8}(:[1-9][0-9]{0,8})?")
_NETWORK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SHARED_NETWORKS: Final = frozenset({"host", "bridge", "default", "none"})
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ContainerExec:
    """The action ``container.exec``."""

    spec = ActionSpec(
        "container.exec",
        "Run a command in a container.",
        INPUT_SCHEMA,
        OUTPUT_SCHEMA,
        idempotent=False,
    )

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Run it and give ``{exit_status, stdout, stderr, ...}``.

        Codes: ``invalid_inputs``, ``image_not_found``, ``engine_unavailable``,
        ``engine_refused``, ``out_of_memory``, ``timeout``, ``cancelled``, ``exit_status``.
        """
        settings = _settings(inputs, context)
        with (
            _engine() as engine,
            Output("stdout", context) as stdout,
            Output("stderr", context) as stderr,
            _container(engine, settings) as container,
        ):
            status, out_of_memory = _run(container, stdout, stderr, context)
            outputs = {"exit_status": status, **stdout.outputs(), **stderr.outputs()}
        context.log(f"container: exit status {status}")
        if out_of_memory:
            message = f"the command used more than {inputs.get('memory', MEMORY)} of memory"
            raise PermanentError("out_of_memory", message, details=outputs)
        if status != 0:
            message = f"the command ended with exit status {status}"
            raise PermanentError("exit_status", message, details=outputs)
        return outputs


def remove_leftovers(left: Callable[[Collection[uuid.UUID]], Collection[uuid.UUID]]) -> int:
    """Remove the containers of runs that nobody is advancing any more; how many there were.

    ``left`` is asked which of the runs that other processes began containers
    for are such. It is asked after the engine: what begins meanwhile is not
    looked at. Asks nobody where no engine is set up.
    """
    if not (os.environ.get("DOCKER_HOST") or _SOCKET.exists()):
        return 0
    with _engine() as engine:
        others = [
            (uuid.UUID(container.labels[RUN_LABEL]), container)
            for container in engine.containers.list(
                all=True, filters={"label": RUN_LABEL}, ignore_removed=True
            )
            if container.labels.get(PROCESS_LABEL) != _THIS_PROCESS
        ]
        wanted = set(left({run_id for run_id, _ in others})) if others else set()
        leftovers = [container for run_id, container in others if run_id in wanted]
        for container in leftovers:
            _remove(container)
    return len(leftovers)


# ── what is asked for ────────────────────────────────────────────────────────────────────────────


def _settings(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
    """Give the arguments of the engine's ``create``; all that is not allowed is not there."""
    memory = _memory(inputs.get("memory", MEMORY))
    user = _matching(_USER, inputs.get("user", USER), "a user by number other than 0")
    return {
        "image": _matching(_IMAGE, inputs["image"], "an image by its digest (sha256:...)"),
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
            PROCESS_LABEL: _THIS_PROCESS,
        },
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": inputs.get("pids", PIDS),
        "nano_cpus": round(inputs.get("cpus", 1) * 1_000_000_000),
        "read_only": True,
        # Its owner is said, since the engine may give it the mode of the image's folder.
        "tmpfs": {"/tmp": f"{_TMP_OPTIONS},uid={user.partition(':')[0]}"},  # noqa: S108 - in there
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "privileged": False,
        "ipc_mode": "private",
        # What it prints is read as it comes and kept by us.
        "log_config": {"Type": "none", "Config": {}},
    }


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


# ── the engine ───────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _engine() -> Iterator["DockerClient"]:
    """Give a client of the engine that ``DOCKER_HOST`` names, or of this machine's."""
    import docker  # noqa: PLC0415 - half a second to load: only where it is used
    from docker.errors import APIError, DockerException, ImageNotFound  # noqa: PLC0415 - as above
    from requests.exceptions import RequestException  # noqa: PLC0415 - as above

    try:
        client = docker.from_env(timeout=_ENGINE_SECONDS)
        try:
            yield client
        finally:
            client.close()
    except ImageNotFound as error:
        message = f"the engine does not have this image: docker pull it first ({error.explanation})"
        raise PermanentError("image_not_found", message) from error
    except APIError as error:
        message = f"the container engine refused: {error.explanation or error}"
        if error.is_server_error():
            raise TemporaryError("engine_unavailable", message) from error
        raise PermanentError("engine_refused", message) from error
    except (DockerException, RequestException) as error:
        message = f"the container engine does not answer: {error}"
        raise TemporaryError("engine_unavailable", message) from error


@contextlib.contextmanager
def _container(engine: "DockerClient", settings: dict[str, Any]) -> Iterator["Container"]:
    container = engine.containers.create(**settings)
    try:
        yield container
    finally:
        _remove(container)


def _remove(container: "Container") -> None:
    from docker.errors import APIError  # noqa: PLC0415 - see _engine

    try:
        container.remove(force=True, v=True)
    except APIError as error:
        # Gone, or going: somebody else removes it.
        if error.status_code not in {404, 409}:
            raise


def _run(
    container: "Container", stdout: Output, stderr: Output, context: ActionContext
) -> tuple[int, bool]:
    """Run it to its end; its exit status, and whether it wanted too much memory."""
    # Before it starts, so that nothing it prints is missed.
    pieces = container.attach(stream=True, stdout=True, stderr=True, logs=False, demux=True)
    try:
        with ended_by(context, lambda: _remove(container)):
            container.start()
            for out, err in pieces:
                stdout.take(out or b"")
                stderr.take(err or b"")
            status = int(container.wait()["StatusCode"])
            container.reload()
    finally:
        with contextlib.suppress(OSError):  # The other side may have closed it before.
            pieces.close()
        # Its own close leaves the file around the socket.
        cast("Any", pieces)._response.close()  # noqa: SLF001 - see above
    return status, bool(container.attrs["State"]["OOMKilled"])
