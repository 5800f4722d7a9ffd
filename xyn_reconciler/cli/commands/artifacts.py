"""``xynctl artifact``: list them, get their bytes, and look whether those are whole."""

import argparse
import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from xyn_reconciler.cli.client import Client, connect
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import Row, answer, json_text, plain, print_list, remark
from xyn_reconciler.model.errors import InvalidError, NotFoundError, UnavailableError, XynError

_TRIES: Final = 5
_TEXT: Final = ("text/", "application/x-ndjson", "application/json")
_WRONG: Final = ("damaged", "missing")
_ALL: Final = 10**9

_COLUMNS: Final[Mapping[str, Callable[[Row], object]]] = {
    "artifact": lambda row: row["artifact_id"],
    "name": lambda row: row["name"],
    "kind": lambda row: row["kind"],
    "size": lambda row: "gone" if row["deleted_at"] else row["byte_length"],
    "run": lambda row: row["run_id"],
    "created": lambda row: row["created_at"],
}


def list_artifacts(options: argparse.Namespace) -> None:
    client = connect(options)
    run_id = options.run_id and find_id(client, "runs", "run_id", options.run_id)
    rows = client.items("/artifacts", limit=options.limit, kind=options.kind, run_id=run_id)
    print_list(
        list(rows),
        _COLUMNS,
        name="artifact_id",
        form=options.output,
        empty="no artifacts yet; the log of a run becomes one when it waits or ends",
    )


def get(options: argparse.Namespace) -> None:
    """Write an artifact's bytes to a file or to standard output, once they are seen to be whole."""
    client = connect(options)
    artifact_id = find_id(client, "artifacts", "artifact_id", options.artifact)
    artifact = client.get(f"/artifacts/{artifact_id}")
    if artifact["sha256"] is None:
        raise NotFoundError(f"the bytes of artifact {artifact_id} were never uploaded")
    if options.file in (None, "-"):
        if sys.stdout.isatty() and not artifact["content_type"].startswith(_TEXT):
            raise InvalidError(f"{artifact['content_type']} is not for a terminal: say -o FILE")
        with tempfile.TemporaryFile() as file:
            _fetch(client, artifact, file)
            _print(file)
        return
    target = Path(options.file)
    if target.is_dir():
        target /= _safe_name(artifact)
    _save(client, artifact, target)
    remark(f"{target}: {artifact['byte_length']} bytes, sha256 {artifact['sha256']}")


def verify(options: argparse.Namespace) -> int:
    """Have the node read every artifact; 1 where bytes are missing or damaged."""
    client = connect(options)
    states: dict[str, str] = {}
    counts: dict[str, int] = {}
    wrong: list[dict[str, Any]] = []
    for artifact in client.items("/artifacts", limit=_ALL):
        sha256 = artifact["sha256"] or ""
        state = "gone" if artifact["deleted_at"] else states.get(sha256)
        message = None
        if state is None or state in _WRONG:
            found = client.get_slowly(f"/artifacts/{artifact['artifact_id']}/verify")
            state, message = str(found["state"]), found["message"]
            if sha256:
                states[sha256] = state
        counts[state] = counts.get(state, 0) + 1
        if state in _WRONG:
            wrong.append({**artifact, "state": state, "message": message})
            if options.output == "table":
                answer(f"{state.upper():8} {artifact['artifact_id']}  {plain(artifact['name'])}")
                answer(f"         {plain(message)}")
        _progress(sum(counts.values()))
    _progress(None)
    if options.output == "json":
        answer(json_text({"counts": counts, "wrong": wrong}))
    elif options.output == "name":
        for each in wrong:
            answer(each["artifact_id"])
    else:
        answer(", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none")
    return 1 if wrong else 0


def _save(client: Client, artifact: Mapping[str, Any], target: Path) -> None:
    """Write beside the target and rename: what is there is whole, and the name is its own."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                _fetch(client, artifact, file)
            unfinished.chmod(0o666 & ~_umask())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidError(f"{target} cannot be written: {error.strerror}") from error


def _fetch(client: Client, artifact: Mapping[str, Any], file: BinaryIO) -> None:
    """Get all bytes, going on where a connection broke off; raises where they are not whole."""
    path = f"/artifacts/{artifact['artifact_id']}/download"
    digest, length = hashlib.sha256(), 0
    for last in (*[False] * (_TRIES - 1), True):
        try:
            for chunk in client.chunks(path, start=length, etag=artifact["sha256"]):
                file.write(chunk)
                digest.update(chunk)
                length += len(chunk)
                _progress(length, artifact["byte_length"])
            break
        except UnavailableError:
            if last or length == 0:
                raise
            remark(f"the download broke off after {length} bytes; going on from there")
        finally:
            _progress(None)
    if digest.hexdigest() != artifact["sha256"]:
        raise XynError(f"other bytes came than those of {artifact['sha256']}; nothing was kept")


def _print(file: BinaryIO) -> None:
    file.seek(0)
    # Whoever reads may have seen enough.
    with contextlib.suppress(BrokenPipeError):
        for chunk in _chunks(file):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(1024 * 1024):
        yield chunk


def _safe_name(artifact: Mapping[str, Any]) -> str:
    """An artifact's own name, as one that stays in its folder."""
    name = plain(artifact["name"]).replace("/", "_").replace("\\", "_").lstrip(".")
    return name[:100] or str(artifact["artifact_id"])


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _progress(done: int | None, of: int | None = None) -> None:
    """Show on a terminal how far it is; ``None`` takes the line away."""
    if not sys.stderr.isatty():
        return
    text = "" if done is None else f"{done:,}" + ("" if of is None else f" of {of:,} bytes")
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()
