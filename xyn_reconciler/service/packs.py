"""Packs that are active here: what each brings, what it needs, and how it is set."""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.desired.blueprint_checks import find_secret_refs
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.packs import content_digest, pack_spec, settings_in_force, works_here
from xyn_reconciler.desired.wording import did_you_mean
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.dto import Page, Timestamp
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.pack import BODIES, CODE
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import Position, page
from xyn_reconciler.store import managed_apps
from xyn_reconciler.store.desired import Document

Body = Literal["request", "ssh", "container", "run"]
Files = Mapping[str, Document]
"""All that stands in a pack's folder, by path."""


class PackActionDto(BaseModel):
    """An action that a pack brings."""

    model_config = ConfigDict(extra="forbid")

    name: str
    summary: str
    body: Body | None
    """Declared as the input of one of Xyn's own actions, as a program (``run``), or only named."""
    installed: bool
    """Whether this node can run it."""
    idempotent: bool


class PackDto(BaseModel):
    """A pack that is active here."""

    model_config = ConfigDict(extra="forbid")

    pack_id: str
    name: str
    description: str | None
    version: str
    digest: str
    """sha256 of its content: two packs of one digest are the same."""
    xyn_core: str | None
    """The versions of Xyn that it is made for."""
    works_here: bool
    """Whether this node's version is one of these."""
    attachment: str | None
    path: str
    revision: str
    """The commit that changed any of its files last."""
    applied_at: Timestamp
    actions: list[PackActionDto]
    events: list[str]


class AppServiceDto(BaseModel):
    """A service of an app."""

    model_config = ConfigDict(extra="forbid")

    name: str
    state: str
    """As it was when the app was brought up last."""


class AppDto(BaseModel):
    """The system of a pack, as this node runs it."""

    model_config = ConfigDict(extra="forbid")

    project: str
    """The name that compose knows it by."""
    status: Literal["up", "failing"]
    reason: str
    message: str
    since: Timestamp
    services: list[AppServiceDto]
    next_try_at: Timestamp | None
    """When it is mended again at the earliest, where it had to be of late."""


class PackDetailDto(PackDto):
    """All that is known of a pack."""

    blueprints: list[str]
    sources: list[str]
    policies: list[str]
    tests: list[str]
    """Paths."""
    prompts: list[str]
    """Paths."""
    files: list[str]
    """Its plain files, as paths below its folder."""
    secrets: list[str]
    """References that it asks for, and those that its settings name."""
    variables: list[str]
    """Environment variables that it asks for."""
    missing: list[str]
    """What of both this node has not."""
    settings_schema: dict[str, Any] | None
    settings: dict[str, Any]
    """As they are in force: with the defaults."""
    settings_path: str | None
    """The file that says them; None where all of them are defaults."""
    contracts: dict[str, Any]
    migrations: list[str]
    backup: dict[str, Any] | None
    smoke: dict[str, Any] | None
    app: AppDto | None
    """None where this node runs none for it."""


def list_packs(context: Context, *, limit: int = 50, cursor: str | None = None) -> Page[PackDto]:
    """Those that changed last come first."""
    newest = sorted(_active(context), key=_position, reverse=True)
    tools = context.catalogue.actions
    return page(
        lambda most, before: [f for f in newest if before is None or _position(f) < before][:most],
        limit=limit,
        cursor=cursor,
        position=_position,
        item=lambda files: PackDto(**_in_short(files, tools)),
    )


def get_pack(context: Context, pack_id: str) -> PackDetailDto:
    """Give all of one pack; ``NotFoundError`` where none of that name is active."""
    packs = {_definition(files).document_id: files for files in _active(context)}
    if pack_id not in packs:
        hint = did_you_mean(pack_id, packs) or "; xynctl pack list"
        raise NotFoundError(f"no pack {pack_id!r} is active{hint}")
    return _in_full(packs[pack_id], context)


def _active(context: Context) -> list[Files]:
    with context.database.read() as connection:
        view = context.intake.view(connection)
    return [
        files
        for files in view.pack_files.values()
        if any(each.kind == "pack" for each in files.values())
    ]


def _definition(files: Files) -> Document:
    return next(each for each in files.values() if each.kind == "pack")


def _last(files: Files) -> Document:
    return max(files.values(), key=lambda each: each.sequence)


def _position(files: Files) -> Position:
    """A pack's id is a name; lists are ordered by (time, uuid)."""
    applied_at = _last(files).applied_at or dt.datetime.min.replace(tzinfo=dt.UTC)
    return applied_at, uuid.uuid5(uuid.NAMESPACE_OID, _definition(files).document_id)


def _in_short(files: Files, tools: Mapping[str, ActionSpec]) -> dict[str, Any]:
    definition = _definition(files)
    document = definition.document
    here = works_here(document)
    return {
        "pack_id": document["id"],
        "name": document.get("name") or document["id"],
        "description": document.get("description"),
        "version": document["version"],
        "digest": content_digest(files.values()),
        "xyn_core": document.get("xyn_core"),
        "works_here": here,
        "attachment": document.get("attachment"),
        "path": definition.path,
        "revision": _last(files).revision,
        "applied_at": _position(files)[0],
        "actions": [
            _action(pack_spec(name, each, tools), each, works=here)
            for name, each in (document.get("actions") or {}).items()
        ],
        "events": document.get("events") or [],
    }


def _action(spec: ActionSpec, definition: Mapping[str, Any], *, works: bool) -> PackActionDto:
    return PackActionDto(
        name=spec.name,
        summary=spec.summary,
        body=cast("Body | None", next((b for b in (*BODIES, CODE) if b in definition), None)),
        installed=spec.installed and works,
        idempotent=spec.idempotent,
    )


def _in_full(files: Files, context: Context) -> PackDetailDto:
    document = _definition(files).document
    written = next((each for each in files.values() if each.kind == "pack_settings"), None)
    schema = document.get("settings")
    settings = settings_in_force(files.values())
    plain = sorted(in_pack(each.path)[1] for each in files.values() if each.kind == "pack_file")
    requires = document.get("requires") or {}
    named = {reference for _, reference in find_secret_refs(settings) if reference}
    secrets = sorted({*(requires.get("secrets") or ()), *named})
    variables = requires.get("variables") or []
    return PackDetailDto(
        **_in_short(files, context.catalogue.actions),
        blueprints=_ids(files.values(), "blueprint"),
        sources=_ids(files.values(), "source"),
        policies=_ids(files.values(), "policy"),
        tests=_ids(files.values(), "test"),
        prompts=_ids(files.values(), "prompt"),
        files=plain,
        secrets=secrets,
        variables=variables,
        missing=[
            *(each for each in secrets if context.secret(each) is None),
            *(each for each in variables if context.secret(f"env/{each}") is None),
        ],
        settings_schema=schema,
        settings=settings,
        settings_path=None if written is None else written.path,
        contracts=document.get("contracts") or {},
        migrations=[path for path in plain if path.startswith("migrations/")],
        backup=document.get("backup"),
        smoke=document.get("smoke"),
        app=_app(context, document["id"]),
    )


def _app(context: Context, pack_id: str) -> AppDto | None:
    with context.database.read() as connection:
        found = managed_apps.get_managed_app(connection, pack_id)
    if found is None:
        return None
    return AppDto(
        project=found.project,
        status=found.status,
        reason=found.reason,
        message=found.message,
        since=found.since,
        services=[AppServiceDto(name=each["name"], state=each["state"]) for each in found.services],
        next_try_at=found.next_try_at,
    )


def _ids(files: Iterable[Document], kind: str) -> list[str]:
    return sorted(each.document_id for each in files if each.kind == kind)
