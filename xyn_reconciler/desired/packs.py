"""What packs give to plans and to the catalogue: their actions, pinned with all they need.

Pure. Intake, backtests and validation see a pack through here, each of what it has at
hand: stored documents or loaded files. The trap: a pack's digest is about what it *is*, so
``settings.yaml``, which says how it is used here, has no part in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from xyn_reconciler import __version__
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.model.capability import ActionSpec, Catalogue
from xyn_reconciler.model.pack import BODIES, CODE, fits_core
from xyn_reconciler.model.run import ExecutionPlan, PlanPack, digest

PROGRAMS: Final = "actions/"
"""The folder of a pack's programs."""

CONFIG: Final = "config/"
"""The folder of what a pack's programs are told of the system that they keep."""

LOGS_IN: Final = frozenset({"git.repo.clone", "ssh.run"})
"""The action for which a plan brings ``known_hosts`` along."""


class File(Protocol):
    """A file of a pack, as a stored document and a loaded file both are."""

    @property
    def path(self) -> str: ...

    @property
    def blob_id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def document(self) -> Any: ...  # noqa: ANN401 - JSON


def content_digest(files: Iterable[File]) -> str:
    """Give the sha256 of a pack's content: of each path below its folder with its blob."""
    return digest(
        sorted([in_pack(each.path)[1], each.blob_id] for each in files if _is_content(each))
    )


def _is_content(file: File) -> bool:
    return file.kind != "pack_settings"


def whole_pack(files: Iterable[File]) -> PlanPack | None:
    """Give all of a pack; None where its files make no pack that works here.

    That is one without a sound ``pack.yaml``, or made for another version of Xyn.
    """
    given = [each for each in files if each.document is not None]
    definition = next((each.document for each in given if each.kind == "pack"), None)
    if definition is None or not works_here(definition):
        return None
    return PlanPack(
        version=definition["version"],
        digest=content_digest(given),
        settings=settings_in_force(given),
        actions=definition.get("actions") or {},
        files={
            in_pack(each.path)[1]: each.document["text"]
            for each in given
            if each.kind == "pack_file"
        },
    )


def settings_in_force(files: Iterable[File]) -> dict[str, Any]:
    """Give what a pack's ``settings.yaml`` says, with the defaults of its schema."""
    said = {each.kind: each.document for each in files if each.document is not None}
    schema = said.get("pack", {}).get("settings") or {}
    settings: dict[str, Any] = with_defaults(schema, said.get("pack_settings", {}))
    return settings


def works_here(definition: Mapping[str, Any]) -> bool:
    """Whether a pack is made for this version of Xyn."""
    return fits_core(definition.get("xyn_core") or "", __version__)


def with_defaults(schema: Mapping[str, Any], value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Give a value with the defaults of its schema, members of members too."""
    properties = schema.get("properties")
    if not isinstance(value, Mapping) or not isinstance(properties, Mapping):
        return value
    made = dict(value)
    for name, rules in properties.items():
        if not isinstance(rules, Mapping):
            continue
        if name not in made and "default" in rules:
            made[name] = rules["default"]
        elif name not in made and isinstance(rules.get("properties"), Mapping):
            inner = with_defaults(rules, {})
            if inner:
                made[name] = inner
        elif name in made:
            made[name] = with_defaults(rules, made[name])
    return made


# ── in a plan ────────────────────────────────────────────────────────────────────────────────────


def used_packs(packs: Mapping[str, PlanPack], actions: Iterable[str]) -> dict[str, PlanPack]:
    """Give what these actions need of whole packs, and no more."""
    used: dict[str, dict[str, Any]] = {}
    for name in sorted({*actions}):
        pack = name.partition(".")[0]
        definition = packs[pack].actions.get(name) if pack in packs else None
        if definition is not None:
            used.setdefault(pack, {})[name] = definition
    return {pack: _part(packs[pack], actions) for pack, actions in used.items()}


def _part(pack: PlanPack, actions: dict[str, Any]) -> PlanPack:
    runs = any(CODE in definition for definition in actions.values())
    files = {path: text for path, text in pack.files.items() if path.startswith((PROGRAMS, CONFIG))}
    return pack.model_copy(update={"actions": actions, "files": files if runs else {}})


def log_in(packs: Mapping[str, PlanPack], actions: Iterable[str]) -> bool:
    """Whether any of these actions, or one of these packs, logs in somewhere by ssh."""
    return not LOGS_IN.isdisjoint(actions) or any(
        "ssh" in definition for pack in packs.values() for definition in pack.actions.values()
    )


# ── in the catalogue ─────────────────────────────────────────────────────────────────────────────


def with_packs(catalogue: Catalogue, definitions: Iterable[Mapping[str, Any]]) -> Catalogue:
    """Give the catalogue with the actions of packs, by their ``pack.yaml``."""
    specs = {
        name: spec
        for definition in definitions
        for name in definition.get("actions") or {}
        if (spec := spec_of(name, definition, catalogue.actions)) is not None
    }
    return replace(catalogue, actions={**specs, **catalogue.actions}) if specs else catalogue


def spec_of(
    name: str, definition: Mapping[str, Any], tools: Mapping[str, ActionSpec]
) -> ActionSpec | None:
    """Give what is known of one action of a pack; None where the pack has none of that name."""
    action = (definition.get("actions") or {}).get(name)
    if action is None:
        return None
    spec = pack_spec(name, action, tools)
    return spec if works_here(definition) else replace(spec, installed=False)


def specs_of_plan(plan: ExecutionPlan, tools: Mapping[str, ActionSpec]) -> Mapping[str, ActionSpec]:
    """Give what is known of the actions that a plan may name: Xyn's own, and its packs'."""
    if not plan.packs:
        return tools
    found: dict[str, ActionSpec] = {}
    for pack in plan.packs.values():
        found |= pack_specs(pack.actions, tools)
    return {**found, **tools}


def pack_specs(
    definitions: Mapping[str, Mapping[str, Any]], tools: Mapping[str, ActionSpec]
) -> dict[str, ActionSpec]:
    """Give what is known of a pack's actions; ``tools`` are Xyn's own."""
    return {name: pack_spec(name, each, tools) for name, each in definitions.items()}


def pack_spec(
    name: str, definition: Mapping[str, Any], tools: Mapping[str, ActionSpec]
) -> ActionSpec:
    """Give what is known of one action of a pack.

    One without a body, or whose tool this node has not, is not installed.
    """
    body = next((body for body in BODIES if body in definition), None)
    tool = None if body is None else tools.get(BODIES[body])
    code = definition.get(CODE)
    as_it_is = tool is not None and not definition.keys() & {"outputs", "paginate"}
    own = definition.get("output_schema")
    return ActionSpec(
        name=name,
        summary=definition["summary"],
        input_schema=definition.get("input_schema") or {},
        output_schema=own or (tool.output_schema if tool is not None and as_it_is else {}),
        idempotent=definition.get("idempotent", False),
        installed=code is not None or (tool is not None and tool.installed),
        capabilities=_capabilities(tool, code, tools),
        redact=(
            *(tool.redact if tool is not None and as_it_is else ()),
            *(definition.get("redact") or ()),
        ),
        errors={**(tool.errors if tool is not None else {}), **_errors(definition)},
    )


def _capabilities(
    tool: ActionSpec | None, code: Mapping[str, Any] | None, tools: Mapping[str, ActionSpec]
) -> frozenset[str]:
    if tool is not None:
        return tool.capabilities
    if code is None:
        return frozenset()
    inside, asks = code.get("in") == "container", code.get("ask")
    return frozenset(
        {
            "containers" if inside else "process",
            *(["secrets"] if code.get("secrets") else []),
            *(tools[BODIES["request"]].capabilities if asks else []),
        }
    )


def _errors(definition: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for rule in definition.get("errors") or ():
        message = rule.get("message") or ""
        unsaid = not message or "{{ response" in message
        found.setdefault(rule["code"], "as the outside system says" if unsaid else message)
    return found
