"""The container engine: reached, asked for one container, and rid of what was left there.

Relied on by ``container.exec`` and, for leftovers, by ``run``. The trap: the
SDK takes half a second to load, so nothing here imports it before it is used.
"""

import contextlib
import os
import re
import socket
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from xyn_reconciler.action.container_settings import PROCESS_LABEL, RUN_LABEL, this_process
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.watch import ended_by
from xyn_reconciler.model.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_ENGINE_SECONDS: Final = 60
"""How long the engine may take to answer one request."""
_SOCKET: Final = Path("/var/run/docker.sock")
_STDERR: Final = 2
_CHUNK: Final = 1 << 16
_BY_DIGEST: Final = re.compile(r"([^@]+@)?sha256:[0-9a-f]{64}")

Take = Callable[[bytes], None]
"""Takes in a piece of what was printed."""


@contextlib.contextmanager
def engine() -> Iterator["DockerClient"]:
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


def resolved(client: "DockerClient", image: str, allowed: Sequence[str]) -> tuple[str, str]:
    """Give an image's id, which is what is run, and the name that is kept of it.

    An image by its digest may always be run; one by its name where ``node.yaml``
    lists it in ``containers.allow``, exactly as it is written. What the name
    means may change a moment later: the id does not.
    """
    if not _BY_DIGEST.fullmatch(image) and image not in allowed:
        message = (
            f"{image} may not be run by its name: name it by its digest (sha256:...), or add it to"
            " containers.allow in node.yaml"
        )
        raise PermanentError("image_not_allowed", message)
    found = client.images.get(image)
    digests = cast("list[str]", found.attrs.get("RepoDigests") or [])
    return str(found.id), image if "@" in image else next(iter(digests), str(found.id))


def check_network(client: "DockerClient", name: str | None) -> None:
    """Refuse what is no network's name: by the beginning of an id the engine finds any of them."""
    if name is not None and all(one.name != name for one in client.networks.list(names=[name])):
        raise PermanentError("engine_refused", f"the engine has no network {name}")


@contextlib.contextmanager
def container(client: "DockerClient", settings: dict[str, Any]) -> Iterator["Container"]:
    """Give a new container, not started; it and its volume go with the context."""
    made = client.containers.create(**settings)
    try:
        yield made
    finally:
        _remove(made)


def _remove(made: "Container") -> None:
    from docker.errors import APIError  # noqa: PLC0415 - see engine

    try:
        made.remove(force=True, v=True)
    except APIError as error:
        # Gone, or going: somebody else removes it.
        if error.status_code not in {404, 409}:
            raise


def run_to_end(
    made: "Container", stdin: bytes | None, stdout: Take, stderr: Take, context: ActionContext
) -> tuple[int, bool]:
    """Run it to its end; its exit status, and whether it wanted too much memory."""
    from docker.utils.socket import frames_iter  # noqa: PLC0415 - see engine

    streams = {"stdin": int(stdin is not None), "stdout": 1, "stderr": 1, "stream": 1}
    # Before it starts, so that nothing it prints is missed.
    attached = cast("Any", made.attach_socket(params=streams))
    try:
        with ended_by(context, lambda: _remove(made)):
            made.start()
            if stdin is not None:
                # Beside: it may print before it reads.
                threading.Thread(target=_feed, args=(attached, stdin), daemon=True).start()
            for stream, piece in cast("Any", frames_iter)(attached, tty=False):
                (stderr if stream == _STDERR else stdout)(piece)
            status = int(made.wait()["StatusCode"])
            made.reload()
    finally:
        # Each holds the other's file open.
        attached._sock.close()  # noqa: SLF001 - the SDK gives nothing else
        attached._response.close()  # noqa: SLF001 - as above
    return status, bool(made.attrs["State"]["OOMKilled"])


@contextlib.contextmanager
def archive(made: "Container", path: str) -> Iterator[Iterator[bytes]]:
    """Give a folder of a container as pieces of an archive; however few are read, it is closed."""
    api = cast("Any", made.client).api
    url = api._url("/containers/{0}/archive", made.id)  # noqa: SLF001 - get_archive cannot be closed
    response = api._get(url, params={"path": path}, stream=True)  # noqa: SLF001 - as above
    try:
        api._raise_for_status(response)  # noqa: SLF001 - as above
        yield response.iter_content(_CHUNK, decode_unicode=False)
    finally:
        response.close()


def _feed(attached: Any, stdin: bytes) -> None:  # noqa: ANN401 - the SDK has no type for it

    connection: socket.socket = attached._sock  # noqa: SLF001 - the SDK gives nothing else
    # It may end without having read it all.
    with contextlib.suppress(OSError):
        connection.settimeout(None)
        connection.sendall(stdin)
        connection.shutdown(socket.SHUT_WR)


def remove_leftovers(left: Callable[[Collection[uuid.UUID]], Collection[uuid.UUID]]) -> int:
    """Remove the containers of runs that nobody is advancing any more; how many there were.

    ``left`` is asked which of the runs that other processes began containers
    for are such. It is asked after the engine: what begins meanwhile is not
    looked at. Asks nobody where no engine is set up.
    """
    if not (os.environ.get("DOCKER_HOST") or _SOCKET.exists()):
        return 0
    with engine() as client:
        others = [
            (uuid.UUID(one.labels[RUN_LABEL]), one)
            for one in client.containers.list(
                all=True, filters={"label": RUN_LABEL}, ignore_removed=True
            )
            if one.labels.get(PROCESS_LABEL) != this_process()
        ]
        wanted = set(left({run_id for run_id, _ in others})) if others else set()
        leftovers = [one for run_id, one in others if run_id in wanted]
        for one in leftovers:
            _remove(one)
    return len(leftovers)
