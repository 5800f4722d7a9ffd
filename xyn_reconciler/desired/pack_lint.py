"""The linter of packs (seed 16.7): what a good pack has, and what may not be done to one in use.

:func:`lint` looks at one state, :func:`since` at what became of packs that are active. Both
are run by ``xynctl validate``, by each push and by each review. What stays true without it
is a remark; a migration that was active is history, and its change is a problem.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.loaded import START, Loaded
from xyn_reconciler.desired.pack_checks import definition_of
from xyn_reconciler.desired.packs import content_digest
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.wording import quoted
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.pack import BODIES, CODE

_MIGRATION: Final = re.compile(r"migrations/([0-9]{4})_([a-z0-9][a-z0-9_-]*)\.sql")


def lint(state: DesiredState, pack: str) -> Iterator[Problem]:
    """Give what a pack should have and works without."""
    files = state.by_pack.get(pack, {})
    loaded = definition_of(files)
    if loaded is None or loaded.document is None:
        return
    yield from _actions(loaded, files)
    yield from _untested(state, files)
    yield from _undeclared_events(loaded, files)


def _actions(loaded: Loaded, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    shown = {reference.name for each in files.values() for reference in each.named("example")}
    for reference in loaded.named("provides"):
        action = loaded.document["actions"][reference.name]
        lacking = [key for key in ("input_schema", "output_schema") if key not in action]
        if lacking:
            message = f"{reference.name} says no {' and no '.join(lacking)}: nothing is checked"
            yield _at(loaded, reference.line, reference.column, "schema_missing", message)
        has_body = any(body in action for body in (*BODIES, CODE))
        if has_body and reference.name not in shown:
            message = f"no file in examples/ shows {reference.name}: xynctl pack test runs them"
            yield _at(loaded, reference.line, reference.column, "example_missing", message)


def _untested(state: DesiredState, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    blueprints = [each for each in files.values() if each.kind == "blueprint" and each.document]
    if not blueprints:
        return
    tested = {
        reference.name
        for each in state.files.values()
        if each.kind == "test"
        for reference in each.named("blueprint")
    }
    for each in blueprints:
        if each.document_id not in tested:
            message = f"no test is of {quoted(each.document_id)}: a pack's blueprints have tests"
            yield _at(each, *each.id_position, "test_missing", message)


def _undeclared_events(loaded: Loaded, files: Mapping[str, Loaded]) -> Iterator[Problem]:
    declared = loaded.document.get("events") or []
    for each in files.values():
        if each.kind != "source" or not each.document:
            continue
        event = each.document.get("event_type")
        if isinstance(event, str) and "{{" not in event and not _fits(event, declared):
            message = f"emits {quoted(event)}, which events of pack.yaml does not name"
            yield _at(each, *each.id_position, "undeclared_event", message)


def _fits(event: str, declared: list[str]) -> bool:
    return any(
        event == each or (each.endswith(".*") and event.startswith(each[:-1])) for each in declared
    )


# ── migrations and versions ──────────────────────────────────────────────────────────────────────


def migration_problems(state: DesiredState, pack: str) -> Iterator[Problem]:
    """Give migrations that have no number, share one, or leave a gap."""
    numbers: dict[int, str] = {}
    for path in sorted(state.by_pack.get(pack, {})):
        below = in_pack(path)[1]
        if not below.startswith("migrations/"):
            continue
        found = _MIGRATION.fullmatch(below)
        if found is None:
            message = "a migration is called NNNN_name.sql: 0001_hosts.sql"
            yield Problem(path, *START, "migration_order", message)
        elif int(found[1]) in numbers:
            message = f"{found[1]} is the number of {numbers[int(found[1])]} already"
            yield Problem(path, *START, "migration_order", message)
        else:
            numbers[int(found[1])] = path
    for wanted, number in enumerate(sorted(numbers), 1):
        if number != wanted:
            message = f"migrations are numbered without gaps: this would be {wanted:04}"
            yield Problem(numbers[number], *START, "migration_order", message)
            return


def since(
    before: DesiredState, after: DesiredState, packs: Iterable[str]
) -> tuple[list[Problem], list[Problem]]:
    """Give the problems and remarks of what became of active packs.

    A migration that was active may not be edited; the last ones may go, which is a pack rolled
    back. A pack that changes and stays the version it was is a problem on stage prod, where
    people go by versions, and a remark before that.
    """
    problems: list[Problem] = []
    remarks: list[Problem] = []
    main = before.main_node()
    strict = main is not None and (main.document or {}).get("stage") == "prod"
    for pack in packs:
        old, new = before.by_pack.get(pack, {}), after.by_pack.get(pack, {})
        one, other = definition_of(old), definition_of(new)
        if one is None or other is None or not one.document or not other.document:
            continue
        problems += _edited_migrations(old, new)
        version = other.document["version"]
        same = content_digest(old.values()) == content_digest(new.values())
        if version == one.document["version"] and not same:
            message = f"the pack changes and stays {version}: raise version"
            found = _at(other, *other.id_position, "version_unchanged", message)
            (problems if strict else remarks).append(found)
    return problems, remarks


def _edited_migrations(old: Mapping[str, Loaded], new: Mapping[str, Loaded]) -> Iterator[Problem]:
    for path, each in sorted(old.items()):
        is_migration = in_pack(path)[1].startswith("migrations/")
        if is_migration and path in new and new[path].blob_id != each.blob_id:
            message = "this migration was active and may have run: add another one instead"
            yield Problem(path, *START, "migration_changed", message)


def _at(loaded: Loaded, line: int, column: int, code: str, message: str) -> Problem:
    return Problem(loaded.path, line, column, code, message)
