"""``git.repo.checkout``: the files of a revision, as a tar artifact or as texts.

Nothing is written to a disk. The tar holds plain files alone, which any machine
unpacks without harm: links, submodules and names that mean something to git or to
another file system are left out and named.
"""

import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final, cast

from xyn_reconciler.action import git_managed
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError

if TYPE_CHECKING:
    from xyn_reconciler.store.git import Repository, TreeEntry
    from xyn_reconciler.store.managed_repository import ManagedRepository

MOST_TEXT: Final = 1_000_000
"""Bytes of all texts together."""

_NAMED: Final = 100
_IN_MEMORY: Final = 1_000_000

SPEC: Final = ActionSpec(
    "git.repo.checkout",
    "Give the files of a revision of a managed repository.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["repository"],
        "properties": {
            "repository": git_managed.REPOSITORY,
            "ref": git_managed.REF,
            "folder": {
                **git_managed.PATH,
                "description": "Only what is below it; paths then count from there.",
            },
            "files": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "items": git_managed.PATH,
                "description": "Files to give as texts; without them there is a tar of all.",
            },
        },
    },
    {
        "type": "object",
        "required": ["commit"],
        "properties": {
            "commit": {"type": "string"},
            "files": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Path to text, of what `files` asks for.",
            },
            "artifact_id": {"type": "string", "description": "The tar."},
            "count": {"type": "integer", "description": "Files in it."},
            "left_out": {
                "type": "array",
                "items": {"type": "string"},
                "description": f"What the tar has not got, the first {_NAMED}.",
            },
        },
    },
    idempotent=True,
    capabilities=frozenset({"git", "artifacts"}),
    errors={
        **git_managed.OF_A_REPOSITORY,
        "file_not_found": "the revision has no such plain file",
        "not_text": "a file of `files` is not UTF-8",
    },
)


class GitRepoCheckout:
    """Gives files of what ``node`` lends."""

    spec = SPEC

    def __init__(self, managed: git_managed.Managed) -> None:
        self._managed = managed

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        found = git_managed.repositories(self._managed).open(inputs["repository"])
        commit = found.resolve(inputs.get("ref"))
        there = dict(_below(inputs.get("folder"), found.files(commit)))
        if "files" in inputs:
            return {"commit": commit, "files": _texts(found, there, inputs["files"])}
        return {"commit": commit, **_tar(found, commit, there, context)}


def _below(
    folder: str | None, entries: "Sequence[TreeEntry]"
) -> "Iterator[tuple[bytes, TreeEntry]]":
    prefix = b"" if folder is None else f"{folder.strip('/')}/".encode()
    for entry in entries:
        if entry.path.startswith(prefix):
            yield entry.path.removeprefix(prefix), entry


def _texts(
    found: "ManagedRepository", there: "Mapping[bytes, TreeEntry]", wanted: Sequence[str]
) -> dict[str, str]:
    from xyn_reconciler.store.managed_names import is_plain  # noqa: PLC0415 - as in git_managed

    texts: dict[str, str] = {}
    room = MOST_TEXT
    for path in wanted:
        entry = there.get(path.encode("utf-8", "surrogatepass"))
        if entry is None or not is_plain(entry):
            raise PermanentError("file_not_found", f"{found.name} has no plain file {path!r} there")
        room -= found.repository.size(entry.sha)
        if room < 0:
            message = f"the texts have more than {MOST_TEXT:,} bytes: take the tar"
            raise PermanentError("too_large", message)
        try:
            texts[path] = found.repository.read(entry.sha).decode()
        except UnicodeDecodeError as error:
            raise PermanentError("not_text", f"{path} is not UTF-8 text: take the tar") from error
    return texts


def _tar(
    found: "ManagedRepository",
    commit: str,
    there: "Mapping[bytes, TreeEntry]",
    context: ActionContext,
) -> dict[str, Any]:
    from xyn_reconciler.store.managed_names import is_plain  # noqa: PLC0415 - as in git_managed

    if context.artifact is None:
        raise PermanentError("no_artifacts", "nothing keeps artifacts here: name `files`")
    plain = {path: entry for path, entry in there.items() if is_plain(entry)}
    left_out = [path.decode("utf-8", "replace") for path in there if path not in plain]
    at = int(found.repository.commit(commit).committed_at.timestamp())
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        _write(cast("Any", file), found.repository, plain, at, context)
        file.seek(0)
        kept = context.artifact(
            name=f"{found.name}.tar",
            kind="files",
            content_type="application/x-tar",
            content=cast("Any", file),
        )
    return {"artifact_id": str(kept), "count": len(plain), "left_out": left_out[:_NAMED]}


def _write(
    file: IO[bytes],
    repository: "Repository",
    plain: "Mapping[bytes, TreeEntry]",
    at: int,
    context: ActionContext,
) -> None:
    room = context.artifact_max
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, entry in plain.items():
            go_on(context)
            size = repository.size(entry.sha)
            room -= size + tarfile.BLOCKSIZE
            if room < 0:
                message = f"the files have more than {context.artifact_max:,} bytes: name a folder"
                raise PermanentError("too_large", message)
            about = tarfile.TarInfo(path.decode())
            about.size, about.mtime = size, at
            about.mode = 0o755 if entry.mode & 0o100 else 0o644
            tar.addfile(about, io.BytesIO(repository.read(entry.sha, limit=size)))
