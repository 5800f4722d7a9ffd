"""What is looked at by itself whenever a draft, or ``main`` below it, has changed.

Each check is a function of a :class:`CheckContext` and has a line in :data:`CHECKS`;
the loop runs them in that order and writes each result. None of them moves anything.
A report is JSON and the same for the same draft, ``main`` and node: it becomes an
artifact, which is found again by its content.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.token_patterns import find_token
from xyn_reconciler.reconcile.judge import Known
from xyn_reconciler.reconcile.lockout import locked_out
from xyn_reconciler.reconcile.push import counted
from xyn_reconciler.reconcile.signatures import unsigned
from xyn_reconciler.review.backtest import backtest_states, in_words
from xyn_reconciler.review.blueprint_tests import run_tests
from xyn_reconciler.review.merged import Judged, Merged
from xyn_reconciler.store import git_merge
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import ObjectTooLargeError, Repository
from xyn_reconciler.store.reviews import Review

COMMITS_SCANNED: Final = 1000
"""The newest commits of a draft whose files are searched for secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What checks may look at."""

    review: Review
    merged: Merged
    judged: Judged
    known: Known
    """What is active."""
    node_id: str
    repository: Repository
    database: Database
    redactor: Redactor
    catalogue: Catalogue
    now: dt.datetime
    cancelled: Callable[[], bool]
    """Whether nobody waits for the result any more: a newer iteration came."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; the summary is a line, the report any JSON."""

    status: Literal["passed", "failed", "skipped"]
    summary: str
    report: Any | None = None


CheckFunction = Callable[[CheckContext], CheckResult]


def conflicts(context: CheckContext) -> CheckResult:
    """Name each path that does not merge, with the blobs of both sides."""
    found = context.merged.conflicts
    if not found:
        return CheckResult("passed", "merges with main")
    report = [
        {"path": each.path, "base": each.base, "main": each.ours, "draft": each.theirs}
        for each in found
    ]
    return CheckResult("failed", f"conflicts with main in {_paths(found)}", report)


def _paths(found: Sequence[git_merge.Conflict]) -> str:
    shown = ", ".join(each.path for each in found[:3])
    return f"{shown} and {len(found) - 3} more" if len(found) > 3 else shown  # noqa: PLR2004 - as many as a line takes


def validation(context: CheckContext) -> CheckResult:
    """Say whether the merged tree is fit to be active here, and its commits to be in ``main``."""
    judgement = context.judged.judgement
    locked = locked_out(context.known, judgement, context.node_id, context.now)
    merged = context.merged
    strange = unsigned(context.repository, merged.main, merged.head)
    problems = sorted([*judgement.problems, *locked, *strange])
    report = {"is_valid": not problems, "issues": _findings(problems)}
    if not problems:
        return CheckResult("passed", "no problems", report)
    return CheckResult("failed", counted(problems), report)


def lint(context: CheckContext) -> CheckResult:
    """Remarks on what is right and might be better; they stop nothing."""
    remarks = context.judged.judgement.remarks
    count = len(remarks)
    summary = "no remarks" if not count else f"{count} remark{'' if count == 1 else 's'}"
    return CheckResult("passed", summary, _findings(remarks) or None)


def _findings(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "path": each.path,
            "line": each.line,
            "column": each.column,
            "code": each.code,
            "message": each.message,
        }
        for each in problems
    ]


def secrets(context: CheckContext) -> CheckResult:
    """Say where any commit of the draft brings a credential, never what it is."""
    found = sorted(set(_secrets(context)))
    if not found:
        return CheckResult("passed", "no secrets")
    return CheckResult("failed", counted(found), _findings(found))


def _secrets(context: CheckContext) -> Iterator[Problem]:
    repository, merged = context.repository, context.merged
    commits = git_merge.lacking(repository, merged.main, merged.head, limit=COMMITS_SCANNED)
    for sha in commits:
        parents = repository.commit(sha).parents
        for change in repository.changes(parents[0] if parents else None, sha):
            if change.new_blob is None or context.cancelled():
                continue
            path = change.path.decode("utf-8", "backslashreplace")
            # What a later commit took out again stays in the history that main would get.
            there = merged.differing.get(path, (None, None))[1] == change.new_blob
            where = "" if there else f" (in commit {sha[:12]}, which would stay in the history)"
            try:
                data = repository.read(change.new_blob)
            except ObjectTooLargeError:
                message = f"too large to be searched for secrets{where}"
                yield Problem(path, 1, 1, "unsearched", message)
                continue
            for line, what in _secret_lines(data, context.redactor):
                message = f"this looks like {what}{where}: take it out and change it, it was seen"
                yield Problem(path, line, 1, "literal_secret", message)


def _secret_lines(data: bytes, redactor: Redactor) -> Iterator[tuple[int, str]]:
    if redactor.bytes(data) == data:
        return
    hits = [
        (number, line)
        for number, line in enumerate(data.split(b"\n"), start=1)
        if redactor.bytes(line) != line
    ]
    for number, line in hits or [(1, data)]:
        token = find_token(line.decode("latin-1"))
        yield number, "a secret of this node" if token is None else token[0]


def behind(context: CheckContext) -> CheckResult:
    """How many commits of ``main`` the draft has not seen; that stops nothing."""
    merged = context.merged
    count = len(git_merge.lacking(context.repository, merged.head, merged.main, limit=1000))
    commits = f"{count} commit{'' if count == 1 else 's'}"
    summary = f"{commits} behind main" if count else "up to date with main"
    return CheckResult("passed", summary)


def tests(context: CheckContext) -> CheckResult:
    """Run the blueprint tests of the merged tree."""
    results = run_tests(
        context.judged.judgement.state,
        context.catalogue.actions,
        lambda loaded: context.repository.read(loaded.blob_id),
    )
    if not results:
        return CheckResult("skipped", "there are no blueprint tests")
    report = [each.to_json() for each in results]
    failed = [each for each in results if not each.passed]
    if not failed:
        tested = {each.blueprint_id for each in results}
        untested = sorted(_brought(context) - tested)
        rest = f"; no test is of {', '.join(untested)}" if untested else ""
        return CheckResult("passed", f"{len(results)} passed{rest}", report)
    named = failed[0]
    found = f"{len(failed)} of {len(results)} failed: {named.path}: {named.failures[0].message}"
    return CheckResult("failed", found, report)


def _brought(context: CheckContext) -> set[str]:
    """The blueprints that the draft writes."""
    files = context.judged.judgement.state.files
    found = (files.get(path) for path in context.merged.differing)
    return {
        each.document_id
        for each in found
        if each is not None and each.kind == "blueprint" and each.document_id
    }


def backtest(context: CheckContext) -> CheckResult:
    """Hold the events of the last days against the draft; whatever it finds stops nothing."""
    if context.judged.judgement.problems:
        return CheckResult("skipped", "what does not validate would start nothing")
    report = backtest_states(
        context.repository,
        context.node_id,
        context.judged.before,
        context.judged.judgement.state,
        actions=context.catalogue.actions,
        redact=context.redactor.value,
        cancelled=context.cancelled,
    )
    return CheckResult("passed", in_words(report), report)


CHECKS: Final[Mapping[str, CheckFunction]] = {
    "conflicts": conflicts,
    "validation": validation,
    "lint": lint,
    "secrets": secrets,
    "behind": behind,
    "tests": tests,
    "backtest": backtest,
}
"""By name, in the order in which they run: the quick ones first."""

SLOW: Final = frozenset({"tests", "backtest"})
"""They run one draft at a time beside the quick ones of others, and no push waits for them."""
