"""A pack's settings as a form has them: what they are, what would be wrong, and a draft of them.

For people who own or run the node (seed 17.3). Saving changes nothing that runs: it is a
draft with the lines that differ, which is reviewed and promoted as any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.desired.fits import misfits
from xyn_reconciler.desired.packs import with_defaults
from xyn_reconciler.desired.settings_file import with_values
from xyn_reconciler.desired.source import parse
from xyn_reconciler.model.dto import DraftContent, DraftCreateRequest, DraftDto
from xyn_reconciler.model.errors import ConflictError, DeniedError, InvalidError, NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.service.actions import ExecutedDto, ExecuteRequest, execute
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.packs import PackDetailDto, get_pack
from xyn_reconciler.service.review_page import file_at
from xyn_reconciler.service.reviews import create_draft, get_draft
from xyn_reconciler.service.secrets import list_secrets
from xyn_reconciler.store.git import MAIN

ROLES: Final = frozenset({"Operator", "OwnerAdmin"})
SMOKE_SECONDS: Final = 20.0
"""How long the page waits for a smoke test."""


@dataclass(frozen=True, slots=True)
class PackSettings:
    """What a form of settings is made of."""

    pack: PackDetailDto
    schema: Mapping[str, Any]
    path: str
    text: str
    """The file as the form's values are from it; empty where there is none."""
    written: Mapping[str, Any]
    """What the file says, without the defaults."""
    base: str
    """The commit that the file is of; a save that began elsewhere is refused."""
    draft: DraftDto | None
    """The open draft of these settings, where there is one: the form goes on with it."""
    references: list[str] = field(default_factory=list)
    """Secrets that are known here, by reference."""


def pack_settings(context: Context, actor: Principal, pack_id: str) -> PackSettings:
    """Give a pack's settings. ``DeniedError`` but for those whose role is in :data:`ROLES`."""
    _refuse_others(actor)
    pack = get_pack(context, pack_id)
    if pack.settings_schema is None:
        raise NotFoundError(f"the pack {pack_id} has no settings")
    path = pack.settings_path or f"packs/{pack_id}/settings.yaml"
    draft = _open_draft(context, pack_id)
    base = draft.head if draft is not None else context.repository.resolve(MAIN) or ""
    text = file_at(context, base, path) or ""
    source, _ = parse(path, text) if text else (None, [])
    return PackSettings(
        pack=pack,
        schema=pack.settings_schema,
        path=path,
        text=text,
        written=source.value if source is not None and isinstance(source.value, dict) else {},
        base=base,
        draft=draft,
        references=[each.reference for each in list_secrets(context).items],
    )


def wrong_settings(schema: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Give what is wrong with values, by the name at the top that it is about."""
    whole = with_defaults(schema, values)
    wrong = {
        name: "fill this in" for name in schema.get("required") or () if whole.get(name) is None
    }
    for each in misfits(schema, whole):
        if each.place:
            within = "".join(f"[{part!r}]" for part in each.place[1:])
            wrong.setdefault(str(each.place[0]), f"{within} {each.message}".strip())
    return wrong


def save_settings(
    context: Context,
    actor: Principal,
    pack_id: str,
    values: Mapping[str, Any],
    *,
    base: str,
    notes: str | None = None,
) -> DraftDto:
    """Put settings into draft ``settings-<pack>``; what has no value there takes its default.

    Raises ``DeniedError``, ``ConflictError`` where the file has changed since ``base``, and
    what keeps a draft from being saved.
    """
    now = pack_settings(context, actor, pack_id)
    if now.base != base and (file_at(context, base, now.path) or "") != now.text:
        raise ConflictError(f"{now.path} has changed meanwhile: look at it again")
    known = set(now.schema.get("properties") or {})
    text = with_values(now.path, now.text, values, known)
    content = DraftContent(files={now.path: text}, notes=notes)
    request = DraftCreateRequest(name=_draft_name(pack_id), kind="pack", content=content)
    return create_draft(context, actor, request)


def try_settings(
    context: Context, actor: Principal, pack_id: str, *, base: str, correlation_id: str
) -> ExecutedDto:
    """Run the smoke test of a pack with the settings of its open draft, else with those in force.

    ``base`` is what the form was made of. Raises ``ConflictError`` where the draft is another one
    by now, for its secrets would go where nobody has looked, and ``InvalidError`` for a draft
    whose settings do not fit.
    """
    now = pack_settings(context, actor, pack_id)
    smoke, settings = now.pack.smoke, None
    if now.draft is not None:
        if now.base != base:
            raise ConflictError(f"draft/{now.draft.name} has changed meanwhile: look at it again")
        for name, wrong in wrong_settings(now.schema, now.written).items():
            raise InvalidError(f"draft/{now.draft.name}: {name}: {wrong}")
        settings = {pack_id: with_defaults(now.schema, now.written)}
    if smoke is None:
        raise NotFoundError(f"the pack {pack_id} declares no smoke test")
    asked = {
        "action": smoke["action"],
        "with": smoke.get("with") or {},
        "wait_seconds": SMOKE_SECONDS,
    }
    request = ExecuteRequest.model_validate(asked)
    return execute(context, actor, request, settings=settings, correlation_id=correlation_id)


def _refuse_others(actor: Principal) -> None:
    if not actor.roles & ROLES:
        raise DeniedError("settings are for those who own or run this node: OwnerAdmin, Operator")


def _draft_name(pack_id: str) -> str:
    return f"settings-{pack_id}"


def _open_draft(context: Context, pack_id: str) -> DraftDto | None:
    try:
        draft = get_draft(context, _draft_name(pack_id))
    except NotFoundError:
        return None
    return draft if draft.closed_at is None and draft.status != "promoted" else None
