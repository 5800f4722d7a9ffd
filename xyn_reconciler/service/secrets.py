"""Secrets by name: who uses them, which cannot be opened here, and how they change. Never a value.

What travels is ciphertext: whoever sets a secret encrypts it to :func:`recipients` first
(``xynctl secret`` does). The commit goes the way of any push, and becomes a draft where
policy asks for an approval.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from xyn_reconciler.desired.diff import secrets as secrets_of
from xyn_reconciler.desired.load import Loaded
from xyn_reconciler.model.dto import Page, Timestamp
from xyn_reconciler.model.errors import InvalidError, NeedsApprovalError, NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.secret import file_of, is_path
from xyn_reconciler.review import save
from xyn_reconciler.review.direct import change_main
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.reviews import desk
from xyn_reconciler.store import desired
from xyn_reconciler.store.age_secrets import KIND
from xyn_reconciler.store.desired import Document

MOST: Final = 1000
"""Files in one change."""

_USERS: Final = ("blueprint", "node", "pack", "pack_settings", "source")


class SecretUserDto(BaseModel):
    """A document that names a secret."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    id: str
    path: str


class SecretDto(BaseModel):
    """One reference; never its value."""

    model_config = ConfigDict(extra="forbid")

    reference: str
    there: bool
    """Whether this node has it: a file, or a variable that is set."""
    readable: bool
    """Whether it can be opened here."""
    reason: str | None
    """Why not."""
    used_by: list[SecretUserDto]
    created_at: Timestamp | None
    """When the value was encrypted, as far as this node can open it."""
    recipients: list[str]
    """Whom it is encrypted to: ids of nodes, ``break-glass``, or the recipients themselves."""


class RecipientsDto(BaseModel):
    """To whom a new value has to be encrypted."""

    model_config = ConfigDict(extra="forbid")

    nodes: dict[str, str]
    """Node id to recipient, of nodes whose definition has one."""
    break_glass: list[str]


class SecretFilesDto(BaseModel):
    """The encrypted files as they are active."""

    model_config = ConfigDict(extra="forbid")

    files: dict[str, str]
    """Path to armored text."""


class SecretChangeRequest(BaseModel):
    """Files to put, and to take out."""

    model_config = ConfigDict(extra="forbid")

    changes: dict[str, str | None] = Field(min_length=1, max_length=MOST)
    """Path of a secret to armored text; null takes it out."""


class SecretChangedDto(BaseModel):
    """What became of a change."""

    model_config = ConfigDict(extra="forbid")

    commit: str | None
    """On ``main``."""
    applied: bool
    draft: str | None
    """The draft that waits, where policy asks for an approval."""
    message: str


def list_secrets(context: Context) -> Page[SecretDto]:
    """Every file, and every reference that a document makes, by name."""
    with context.database.read() as connection:
        found = desired.documents(connection, kinds=(KIND, *_USERS))
    context.secrets.refresh()
    users = _users(found)
    files = {each.document_id for each in found if each.kind == KIND}
    known = _names(found)
    unreadable = context.secrets.unreadable()
    return Page[SecretDto](
        items=[
            _secret(context, name, files, users, known, unreadable)
            for name in sorted(files | set(users))
        ]
    )


def get_secret(context: Context, reference: str) -> SecretDto:
    """One of them; ``NotFoundError`` for a name that nobody uses and nobody has."""
    found = next((s for s in list_secrets(context).items if s.reference == reference), None)
    if found is None:
        raise NotFoundError(f"there is no secret {reference}, and nothing names it")
    return found


def recipients(context: Context) -> RecipientsDto:
    """Those of every node's definition, and the break-glass keys of ``node.yaml``."""
    with context.database.read() as connection:
        nodes = desired.documents(connection, kinds=("node",))
    return RecipientsDto(
        nodes={
            each.document_id: each.document["recipient"]
            for each in nodes
            if each.document.get("recipient")
        },
        break_glass=[
            key
            for each in nodes
            if "/" not in each.path
            for key in each.document.get("break_glass_recipients") or ()
        ],
    )


def secret_files(context: Context) -> SecretFilesDto:
    """The ciphertexts, for who encrypts them anew."""
    with context.database.read() as connection:
        found = desired.documents(connection, kinds=(KIND,))
    return SecretFilesDto(files={each.document_id: each.document["ciphertext"] for each in found})


def change_secrets(
    context: Context, actor: Principal, request: SecretChangeRequest
) -> SecretChangedDto:
    """Put files on ``main``, or into a draft where an approval is asked for.

    ``InvalidError`` for what is no path of a secret, or cannot be opened here.
    """
    changes = request.changes
    for path in changes:
        if not is_path(path):
            raise InvalidError(f"{path!r} is no path of a secret")
    sealed = [(path, text) for path, text in changes.items() if text is not None]
    wrong = context.secrets.check(sealed)
    if wrong:
        raise InvalidError("; ".join(wrong.values()))
    files = {
        file_of(path): None if text is None else text.encode() for path, text in changes.items()
    }
    what = _what(changes)
    at = desk(context)
    try:
        landed = change_main(at, files, actor, message=f"{what}\n", what=what)
    except NeedsApprovalError as error:
        name = f"secret/{re.sub(r'[^A-Za-z0-9._-]+', '-', next(iter(changes)))}"
        review = save.save(at, name, files, actor, message=f"{what}\n")
        return SecretChangedDto(
            commit=None, applied=False, draft=review.name, message=error.message
        )
    return SecretChangedDto(
        commit=landed.commit, applied=landed.applied, draft=None, message=landed.message
    )


def _what(changes: Mapping[str, str | None]) -> str:
    if len(changes) > 1:
        return f"Encrypt {len(changes)} secrets"
    path, text = next(iter(changes.items()))
    return f"{'Remove' if text is None else 'Set'} secret {path}"


def _secret(
    context: Context,
    name: str,
    files: set[str],
    users: Mapping[str, list[SecretUserDto]],
    known: Mapping[str, str],
    unreadable: Mapping[str, str],
) -> SecretDto:
    if is_path(name):
        there, reason = name in files, unreadable.get(name)
        missing = f"there is no {file_of(name)} on main: xynctl secret set {name}"
    else:
        there, reason = context.secret(name) is not None, None
        missing = f"the variable {name.removeprefix('env/')} is not set where this node runs"
    sealed = context.secrets.sealed(name)
    return SecretDto(
        reference=name,
        there=there,
        readable=there and reason is None,
        reason=reason if there else missing,
        used_by=users.get(name, []),
        created_at=None if sealed is None else sealed.created_at,
        recipients=[] if sealed is None else [known.get(key, key) for key in sealed.recipients],
    )


def _users(found: list[Document]) -> dict[str, list[SecretUserDto]]:
    users: dict[str, list[SecretUserDto]] = {}
    for each in found:
        if each.kind in _USERS:
            for name in sorted(secrets_of(Loaded.from_row(_row(each)))):
                user = SecretUserDto(kind=each.kind, id=each.document_id, path=each.path)
                users.setdefault(name, []).append(user)
    return users


def _row(each: Document) -> dict[str, Any]:
    return {
        "path": each.path,
        "blob_id": each.blob_id,
        "kind": each.kind,
        "document_id": each.document_id,
        "document": each.document,
        "reference_positions": each.reference_positions,
    }


def _names(found: list[Document]) -> dict[str, str]:
    """Recipient to whose it is."""

    def pairs() -> Iterator[tuple[str, str]]:
        for each in found:
            if each.kind == "node":
                for key in each.document.get("break_glass_recipients") or ():
                    yield key, "break-glass"
                if each.document.get("recipient"):
                    yield each.document["recipient"], each.document_id

    return dict(pairs())
