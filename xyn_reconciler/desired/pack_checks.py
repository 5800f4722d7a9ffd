"""A pack beside its own files: settings that fit, programs that are there, names that are free.

Called by :mod:`xyn_reconciler.desired.validate` for each pack of which any file changed.
What a pack should have and works without (seed 16.7) is :mod:`xyn_reconciler.desired.pack_lint`'s.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from xyn_reconciler import __version__
from xyn_reconciler.desired.compose_file import read_compose, value_sources, variables_of
from xyn_reconciler.desired.fits import misfits
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.loaded import START, Loaded, Reference, pointer
from xyn_reconciler.desired.pack_data import mirror
from xyn_reconciler.desired.packs import with_defaults, works_here
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.errors import InvalidError, Problem

MAX_BYTES: Final = 1_000_000
"""Of all plain files of a pack together: its programs travel in every plan that uses them."""


def touched_packs(paths: Collection[str]) -> list[str]:
    """Give the packs that these paths belong to."""
    return sorted({pack for pack, _ in map(in_pack, paths) if pack is not None})


def pack_problems(
    state: DesiredState, pack: str, catalogue: Catalogue, *, whole: bool
) -> Iterator[Problem]:
    """Give what makes a pack unacceptable; ``catalogue`` has Xyn's own actions."""
    files = state.by_pack.get(pack, {})
    loaded = definition_of(files)
    if loaded is None:
        if whole and files:
            message = f"nothing is read of packs/{pack}/ without packs/{pack}/pack.yaml"
            yield Problem(min(files), *START, "missing_file", message)
        return
    if loaded.document is None:
        return  # its own problems are told already
    if pack in taken_names(catalogue):
        message = f"actions that begin with {quoted(pack + '.')} are Xyn's own: rename the pack"
        yield Problem(loaded.path, *loaded.id_position, "reserved_name", message)
    yield from _files(loaded, files)
    yield from _examples(loaded.document, files)
    yield from _size(loaded, files)
    yield from _app(loaded, files)
    yield from _contracts(loaded, files)
    yield from _named_settings(loaded.document, files)
    settings = settings_of(files)
    if settings is not None and settings.document is not None:
        yield from _settings(loaded.document, settings)


def taken_names(catalogue: Catalogue) -> set[str]:
    """Give what no pack may be called: the first parts of names that are Xyn's own."""
    return {"xyn", *(name.partition(".")[0] for name in catalogue.actions)}


def pack_remarks(state: DesiredState, pack: str) -> Iterator[Problem]:
    """Give what the author of a pack, or who installs it, may want to know."""
    files = state.by_pack.get(pack, {})
    loaded = definition_of(files)
    if loaded is None or loaded.document is None:
        return
    for core in loaded.named("core"):
        if not works_here(loaded.document):
            message = f"this node has Xyn {__version__}: none of the pack's actions runs here"
            yield Problem(loaded.path, core.line, core.column, "not_runnable", message)
    schema = loaded.document.get("settings") or {}
    if settings_of(files) is None:
        for misfit in misfits(schema, with_defaults(schema, {})) if schema else ():
            message = f"write packs/{pack}/settings.yaml: it {misfit.message}"
            yield Problem(loaded.path, *loaded.id_position, "missing_file", message)


def definition_of(files: Mapping[str, Loaded]) -> Loaded | None:
    """Give ``pack.yaml`` among the files of a pack."""
    return next((each for _, each in sorted(files.items()) if each.kind == "pack"), None)


def settings_of(files: Mapping[str, Loaded]) -> Loaded | None:
    """Give ``settings.yaml`` among the files of a pack."""
    return next((each for _, each in sorted(files.items()) if each.kind == "pack_settings"), None)


def _files(loaded: Loaded, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    for reference in loaded.named("file"):
        if reference.name not in files:
            message = f"there is no file {reference.name}{did_you_mean(reference.name, files)}"
            yield Problem(loaded.path, reference.line, reference.column, "missing_file", message)


def _examples(document: Mapping[str, Any], files: Mapping[str, Loaded]) -> Iterator[Problem]:
    actions = document.get("actions") or {}
    for path, each in files.items():
        for reference in each.named("example"):
            if reference.name not in actions:
                hint = did_you_mean(reference.name, actions)
                message = f"this pack has no action {quoted(reference.name)}{hint}"
                yield Problem(path, reference.line, reference.column, "unknown_action", message)


def _app(loaded: Loaded, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    document, pack = loaded.document, loaded.document["id"]
    path = f"packs/{pack}/compose.yaml"
    if document.get("attachment") in ("managed", "hybrid") and path not in files:
        message = f"a {document['attachment']} pack has {path}: what Xyn runs of it"
        yield Problem(loaded.path, *loaded.id_position, "missing_file", message)
    if path not in files or files[path].document is None:
        return
    compose, _ = read_compose(path, files[path].document["text"])
    members = (document.get("settings") or {}).get("properties") or {}
    known = value_sources(document, dict.fromkeys(members, ""))
    for name in sorted(variables_of(compose) if compose is not None else ()):
        if name not in known:
            hint = did_you_mean(name, known) or f"; there is {', '.join(known) or 'none'}"
            yield Problem(path, *START, "unknown_variable", f"no ${{{name}}} is known{hint}")


def _contracts(loaded: Loaded, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    texts = {
        in_pack(path)[1]: each.document["text"]
        for path, each in files.items()
        if each.kind == "pack_file" and each.document is not None
    }
    for name, contract in (loaded.document.get("contracts") or {}).items():
        if contract["schema"] not in texts:
            continue  # told already: it is missing, or has its own problems
        try:
            mirror(name, contract, texts)
        except InvalidError as error:
            yield Problem(loaded.path, *loaded.id_position, "bad_contract", error.message)


def _named_settings(document: Mapping[str, Any], files: Mapping[str, Loaded]) -> Iterator[Problem]:
    """Settings that sources name and the pack has not."""
    members = (document.get("settings") or {}).get("properties") or {}
    for path, each in files.items():
        for reference in each.named("setting"):
            if reference.name not in members:
                hint = did_you_mean(reference.name, members)
                message = f"this pack has no setting {quoted(reference.name)}{hint}"
                at = reference.line, reference.column
                yield Problem(path, *at, "unresolved_reference", message)


def _size(loaded: Loaded, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    total = sum(
        len(each.document["text"].encode())
        for each in files.values()
        if each.kind == "pack_file" and each.document is not None
    )
    if total > MAX_BYTES:
        message = f"the files of a pack have at most {MAX_BYTES:,} bytes together, these {total:,}"
        yield Problem(loaded.path, *loaded.id_position, "too_large", message)


def _settings(document: Mapping[str, Any], settings: Loaded) -> Iterator[Problem]:
    schema = document.get("settings")
    if schema is None:
        if settings.document:
            message = f"the pack {quoted(document['id'])} has no settings: remove this file"
            yield Problem(settings.path, *START, "unknown_key", message)
        return
    (reference,) = settings.named("pack")
    for misfit in misfits(schema, with_defaults(schema, settings.document)):
        line, column = _at(reference, misfit.place, at_key=misfit.code == "unknown_key")
        named = f"{pointer(misfit.place)[1:]} of {document['id']}" if misfit.names_value else "this"
        yield Problem(settings.path, line, column, misfit.code, f"{named} {misfit.message}")


def _at(reference: Reference, place: tuple[str | int, ...], *, at_key: bool) -> tuple[int, int]:
    for length in range(len(place), -1, -1):
        found = reference.inner.get(pointer(place[:length]))
        if found is not None:
            return found[2:] if at_key else found[:2]
    return reference.line, reference.column
