"""What a change would have done, what the tests of blueprints say, and tests made of runs."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.errors import ConflictError, NotFoundError, ProblemsError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.units import parse_duration
from xyn_reconciler.review import recorded_test, reports
from xyn_reconciler.review.backtest import Report, backtest_states
from xyn_reconciler.review.blueprint_tests import run_tests
from xyn_reconciler.review.desk import DraftNotFoundError
from xyn_reconciler.review.history import find_run
from xyn_reconciler.service import policy, reviews, runs
from xyn_reconciler.service.context import Context
from xyn_reconciler.store import desired
from xyn_reconciler.store.git import MAIN
from xyn_reconciler.store.reviews import Review


class BacktestRequest(BaseModel):
    """What is asked of recorded events."""

    model_config = ConfigDict(extra="forbid")

    since: str = Field(default="7d", pattern=r"^[1-9][0-9]{0,5}(?:ms|s|m|h|d)$")
    """How far back, counted from the newest record."""
    blueprint: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,200}$")
    """Of this one alone."""


class BacktestDto(BaseModel):
    """What a change would have done."""

    name: str
    """The draft's name, or the revision as it was asked for."""
    draft_id: uuid.UUID | None
    head: str
    main: str
    artifact_id: uuid.UUID | None
    """Where the report is kept; null for what is no draft."""
    report: dict[str, Any]
    """See docs/reference/backtest.md."""


class TestsDto(BaseModel):
    """What the blueprint tests of a revision say."""

    __test__ = False  # its name looks like a test to pytest

    revision: str
    passed: bool
    results: list[dict[str, Any]]
    """``path, name, blueprint_id, passed, failures``."""


class RunTestDto(BaseModel):
    """A test made of a run."""

    path: str
    """Where it may stand in the repository."""
    text: str
    """YAML."""
    failures: list[str]
    """What it says of ``main`` as it is now."""


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    review: Review | None
    head: str
    main: str
    before: DesiredState
    after: DesiredState


def backtest(
    context: Context,
    actor: Principal,
    draft: str,
    request: BacktestRequest,
    *,
    progress: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> BacktestDto:
    """Answer for a draft (by name or id), a branch or a commit; of a draft the report is kept.

    A draft is merged with ``main``; a commit that ``main`` holds is taken as it stands.
    Raises ``ConflictError`` where it does not merge, ``ProblemsError`` where what comes
    of merging is not valid, ``CancelledError``.
    """
    policy.refuse_reading(context, actor, "records.read")
    with context.database.read() as connection:
        node_id = desired.read_node(connection).node_id
    asked = _asked(context, draft)
    report = backtest_states(
        context.repository,
        node_id,
        asked.before,
        asked.after,
        actions=context.catalogue.actions,
        window=parse_duration(request.since),
        blueprint=request.blueprint,
        redact=context.redactor.value,
        progress=progress,
        cancelled=cancelled,
    )
    return BacktestDto(
        name=asked.name,
        draft_id=None if asked.review is None else asked.review.draft_id,
        head=asked.head,
        main=asked.main,
        artifact_id=None if asked.review is None else _kept(context, asked.review, report),
        report=report,
    )


def run_tests_of(context: Context, revision: str = "main") -> TestsDto:
    """Run every blueprint test of a draft, a branch or a commit, as it stands."""
    head = _commit(context, revision)
    state = context.reconciler.judge(context.repository, head).state
    results = run_tests(state, context.catalogue.actions, lambda each: _read(context, each))
    return TestsDto(
        revision=head,
        passed=all(each.passed for each in results),
        results=[each.to_json() for each in results],
    )


def make_test(context: Context, run_id: uuid.UUID) -> RunTestDto:
    """Make a test of a run's record.

    ``NotFoundError`` where there is no run or it is not recorded yet, ``InvalidError``
    where it is no example of what its blueprint does.
    """
    with context.database.read() as connection:
        runs.known_run(connection, run_id)
        node_id = desired.read_node(connection).node_id
    record = find_run(context.repository, node_id, str(run_id))
    if record is None:
        raise NotFoundError(f"run {run_id} is not recorded yet: it is when it waits or has ended")
    path, text = recorded_test.path_of(record), recorded_test.text_of(record)
    loaded = load(path, "", text.encode())
    state = context.reconciler.known().state.apply([(path, loaded)])
    (result,) = run_tests(state, context.catalogue.actions, lambda _: text.encode(), only={path})
    return RunTestDto(path=path, text=text, failures=list(map(str, result.failures)))


def _kept(context: Context, review: Review, report: Report) -> uuid.UUID:
    return reports.keep(
        context.database,
        context.artifacts,
        review,
        "backtest",
        report,
        emit=context.intake.emit,
        now=context.clock(),
    )


def _asked(context: Context, draft: str) -> _Asked:
    review: Review | None = None
    try:
        review = reviews.find(context, draft)
        head = review.head
    except DraftNotFoundError:
        head = _commit(context, draft)
    repository, main = context.repository, reviews.desk(context).main()
    if repository.resolve(head) is None:
        raise NotFoundError(f"the commits of {draft} are not kept any more")
    if repository.is_ancestor(head, main):
        after = context.reconciler.judge(repository, head)
        before = context.reconciler.judge(repository, main).state
    else:
        merged = context.merging.of(main, head)
        if merged.conflicts:
            paths = ", ".join(each.path for each in merged.conflicts)
            raise ConflictError(f"{draft} conflicts with main in {paths}")
        judged = context.merging.judge(merged)
        before, after = judged.before, judged.judgement
    if after.problems:
        raise ProblemsError(list(after.problems))
    name = draft if review is None else review.name
    return _Asked(name, review, head, main, before, after.state)


def _commit(context: Context, name: str) -> str:
    """Find a branch or a commit."""
    repository = context.repository
    for ref in (f"refs/heads/{name}", f"refs/heads/draft/{name}", name):
        found = repository.resolve(ref)
        if found is not None:
            return found
    beginning = [each.sha for each in repository.log(MAIN, limit=1000) if each.sha.startswith(name)]
    if len(name) < 4 or len(beginning) != 1:  # noqa: PLR2004 - as of ids
        raise DraftNotFoundError(f"no draft, branch or commit {name!r}")
    return beginning[0]


def _read(context: Context, loaded: Loaded) -> bytes:
    return context.repository.read(loaded.blob_id)
