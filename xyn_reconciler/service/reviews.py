"""Drafts and their reviews: what is proposed, what is known of it, and what people make of it.

A ``draft`` is named by its id or by the name of its branch; by name the open one is
meant, else the last. Whatever is said here of who may do what is said for ``actor``.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import yaml
from pydantic import ValidationError

from xyn_reconciler.desired.diff import Change, diff
from xyn_reconciler.model.dto import (
    ChangeDto,
    CheckDto,
    CommentDto,
    CommentRequest,
    CommitDto,
    ConflictDto,
    DraftCreateRequest,
    DraftDto,
    FileChangeDto,
    FileDiffDto,
    FindingDto,
    HunkDto,
    IterationDto,
    LineDto,
    MovedDto,
    Page,
    PromoteRequest,
    ReviewDecisionRequest,
    ReviewDiffDto,
    ReviewDto,
    RollbackRequest,
    VoteDto,
)
from xyn_reconciler.model.errors import InvalidError, NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review import promote, rollback, save, say, text_diff
from xyn_reconciler.review.assess import Assessment, Blobs, Facts, assess
from xyn_reconciler.review.desk import Desk, DraftNotFoundError
from xyn_reconciler.review.held import held
from xyn_reconciler.review.landing import Landed
from xyn_reconciler.review.reports import with_reports
from xyn_reconciler.review.text_diff import TextDiff
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.service.identity import rules
from xyn_reconciler.store import git_merge, reviews, runs
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.ref_rules import DRAFTS
from xyn_reconciler.store.reviews import Check, Comment, Review, Status, Vote

COMMITS_SHOWN: Final = 100
BEHIND_COUNTED: Final = 1000

FileChange = Literal["added", "changed", "removed"]


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


def list_drafts(
    context: Context,
    *,
    limit: int = 50,
    cursor: str | None = None,
    status: Status | None = None,
    open_only: bool = False,
) -> Page[DraftDto]:
    """The newest first."""
    statuses = () if status is None else (status,)
    with context.database.read() as connection:
        return page(
            lambda most, before: reviews.list_reviews(
                connection, limit=most, before=before, statuses=statuses, open_only=open_only
            ),
            limit=limit,
            cursor=cursor,
            position=lambda found: (found.created_at, found.draft_id),
            item=lambda found: _draft(found, {"notes": found.notes}),
        )


def get_draft(context: Context, draft: str) -> DraftDto:
    """One draft with the files that it changes."""
    review = find(context, draft)
    merged = context.merging.of(_compared_with(context, review), review.head)
    files = {
        path: None if new is None else _readable(context.repository.read(new))
        for path, (_old, new) in merged.differing.items()
    }
    return _draft(review, {"notes": review.notes, "files": files})


def get_review(context: Context, actor: Principal, draft: str) -> ReviewDto:
    """All that a reviewer has to know at this moment; what may be done is said for ``actor``."""
    review = find(context, draft)
    main = _compared_with(context, review)
    facts = desk(context).facts(review, main=main, actor=actor)
    with context.database.read() as connection:
        return _review(context, connection, facts, assess(facts))


def diff_review(context: Context, draft: str) -> ReviewDiffDto:
    """What promotion would change, in words and in text."""
    review = find(context, draft)
    main = _compared_with(context, review)
    merged = context.merging.of(main, review.head)
    judged = context.merging.judge(merged)
    return ReviewDiffDto(
        draft_id=review.draft_id,
        name=review.name,
        head=review.head,
        main=main,
        changes=[_change(each) for each in diff(judged.before, judged.judgement.state)],
        files=[_file_diff(context, path, blobs) for path, blobs in merged.differing.items()],
    )


# ── saying ───────────────────────────────────────────────────────────────────────────────────────


def create_draft(context: Context, actor: Principal, request: DraftCreateRequest) -> DraftDto:
    """Commit to branch ``draft/<name>``, which is made from main where it is not."""
    found = _save(context, actor, request)
    return get_draft(context, str(found.draft_id))


def save_draft_of_run(
    context: Context, request: Mapping[str, Any], run_id: uuid.UUID
) -> tuple[uuid.UUID, int]:
    """Save what a step proposes, in the name of whoever caused its run; id and iteration.

    What is saved already changes nothing: a step may run again. ``InvalidError``
    where ``request`` does not fit a :class:`DraftCreateRequest`.
    """
    try:
        asked = DraftCreateRequest.model_validate(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    with context.database.read() as connection:
        run = runs.get_run(connection, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}")
    actor = rules(context).principal(run.actor)
    try:
        found = _save(context, actor, asked, run_id)
    except save.NothingToSaveError:
        head = context.repository.resolve(f"{DRAFTS}{asked.name}")
        if head is None:
            raise  # main holds it
        # Saved before, by a try that did not live to see the review.
        found = save.reviewed(desk(context), asked.name, head)
    return found.draft_id, found.iteration


def _save(
    context: Context,
    actor: Principal,
    request: DraftCreateRequest,
    run_id: uuid.UUID | None = None,
) -> Review:
    notes = request.content.notes
    parts = [f"Draft {request.name}", notes.strip() if notes else "", f"Run-Id: {run_id}"]
    message = context.redactor.text("\n\n".join(filter(None, parts if run_id else parts[:2])))
    files = _files(request)
    told = [request.name, *files, *(data.decode() for data in files.values() if data is not None)]
    if any(context.redactor.knows(text.encode()) for text in told):
        raise InvalidError("a draft may not hold a secret of this node: name its reference")
    return save.save(desk(context), request.name, files, actor, message=f"{message}\n")


def check_draft(context: Context, actor: Principal, draft: str) -> ReviewDto:
    """Have all checks run again."""
    found = say.look_again(desk(context), find(context, draft).draft_id)
    return get_review(context, actor, str(found.draft_id))


def decide_review(
    context: Context,
    actor: Principal,
    draft: str,
    decision: Literal["approved", "rejected"],
    request: ReviewDecisionRequest,
) -> ReviewDto:
    """Say yes or no to what promotion would change."""
    found = find(context, draft)
    say.vote(
        desk(context),
        found.draft_id,
        actor,
        decision,
        digest=request.effect_digest,
        comment=None if request.comment is None else context.redactor.text(request.comment),
    )
    return get_review(context, actor, str(found.draft_id))


def comment_draft(
    context: Context, actor: Principal, draft: str, request: CommentRequest
) -> CommentDto:
    """Say something about a draft, or about a line of it."""
    said = say.comment(
        desk(context),
        find(context, draft).draft_id,
        actor,
        context.redactor.text(request.text),
        path=request.path,
        line=request.line,
    )
    return _comment(said)


def close_draft(context: Context, actor: Principal, draft: str) -> DraftDto:
    """Give a draft up: its branch goes, its review stays to be read."""
    found = find(context, draft)
    say.close(desk(context), found.draft_id, actor)
    return _draft(desk(context).review(found.draft_id), {"notes": found.notes})


def promote_draft(
    context: Context, actor: Principal, draft: str, request: PromoteRequest
) -> MovedDto:
    """Merge a draft into main; waits for its checks, and until the node has applied it."""
    found = find(context, draft)
    landed = promote.promote(desk(context), found.draft_id, actor, head=request.head)
    return _moved(landed, draft_id=found.draft_id, name=found.name)


def roll_back(context: Context, actor: Principal, request: RollbackRequest) -> MovedDto:
    """Take back on main what a commit of its history changed."""
    revision = _revision(context, request.revision)
    return _moved(rollback.roll_back(desk(context), revision, actor), reverts=revision)


# ── inside ───────────────────────────────────────────────────────────────────────────────────────


def desk(context: Context) -> Desk:
    return Desk(
        database=context.database,
        repository=context.repository,
        reconciler=context.reconciler,
        merging=context.merging,
        emit=context.intake.emit,
        clock=context.clock,
        origin=context.origin,
    )


def find(context: Context, draft: str) -> Review:
    """Give the review of a draft's id or name; ``DraftNotFoundError``."""
    name = draft.removeprefix(DRAFTS).removeprefix("draft/")
    with context.database.read() as connection:
        try:
            found = reviews.get_review(connection, uuid.UUID(name))
        except ValueError:
            found = None
        found = found or reviews.find_review(connection, name)
    if found is None:
        raise DraftNotFoundError(f"no draft {draft!r}; xynctl review list")
    return found


def _compared_with(context: Context, review: Review) -> str:
    """``main``; of a promoted draft as it was before, so that its review says what it brought."""
    if context.repository.resolve(review.head) is None:
        raise NotFoundError(f"the commits of draft/{review.name} are not kept any more")
    if review.promoted_commit is None:
        return desk(context).main()
    return context.repository.commit(review.promoted_commit).parents[0]


def _files(request: DraftCreateRequest) -> dict[str, bytes | None]:
    content = request.content
    files = {path: None if text is None else _bytes(text) for path, text in content.files.items()}
    if content.definition is not None:
        folder = f"packs/{request.name}/pack" if request.kind == "pack" else None
        path = content.path or f"{folder or f'blueprints/{request.name}'}.yaml"
        files[path] = _bytes(_text(content.definition))
    elif content.path is not None:
        raise InvalidError("path is the place of a definition, and there is none")
    if not files:
        raise InvalidError("a draft brings files, or a definition")
    return files


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidError("a file is text in UTF-8, which half a surrogate pair is not") from error


def _text(definition: str | dict[str, Any]) -> str:
    if isinstance(definition, str):
        return definition if definition.endswith("\n") else f"{definition}\n"
    return yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=100)


def _revision(context: Context, text: str) -> str:
    """Find a commit of main by the beginning of its name."""
    found = git_merge.revisions_named(context.repository, text, desk(context).main())
    if len(found) != 1:
        what = "several revisions of main begin" if found else "no revision of main begins"
        raise NotFoundError(f"{what} with {text}")
    return found[0]


def _moved(landed: Landed, **about: Any) -> MovedDto:  # noqa: ANN401 - fields of the DTO
    return MovedDto(commit=landed.commit, applied=landed.applied, message=landed.message, **about)


def _readable(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _draft(review: Review, content: dict[str, Any]) -> DraftDto:
    return DraftDto(
        draft_id=review.draft_id,
        name=review.name,
        kind=review.kind,
        status=review.status,
        created_at=review.created_at,
        updated_at=review.updated_at,
        content=content,
        head=review.head,
        author=review.author,
        iteration=review.iteration,
        version=review.promoted_commit,
        run_id=review.run_id,
        closed_at=review.closed_at,
    )


def _review(
    context: Context, connection: Connection, facts: Facts, assessment: Assessment
) -> ReviewDto:
    review, main = facts.review, facts.main
    checks = with_reports(connection, context.artifacts, facts.checks)
    merged = context.merging.of(main, review.head)
    reasons = [*assessment.reasons]
    why = None
    if review.closed_at is None and not facts.differing:
        why = held(context.repository, main=main, head=review.head)
    counts = {each.decision_id for each in (*assessment.approvals, *assessment.rejections)}
    behind = git_merge.lacking(context.repository, review.head, main, limit=BEHIND_COUNTED)
    return ReviewDto(
        draft_id=review.draft_id,
        name=review.name,
        kind=review.kind,
        status=review.status,
        head=review.head,
        main=main,
        author=review.author,
        authors=sorted(facts.authors),
        iteration=review.iteration,
        created_at=review.created_at,
        updated_at=review.updated_at,
        closed_at=review.closed_at,
        version=review.promoted_commit,
        run_id=review.run_id,
        notes=review.notes,
        url=f"{context.url}/ui/reviews/{review.draft_id}",
        iterations=[
            IterationDto(
                iteration=each.iteration,
                head=each.head,
                author=each.author,
                created_at=each.created_at,
            )
            for each in reviews.iterations(connection, review.draft_id)
        ],
        commits=_commits(context, main, review.head),
        files=[
            FileChangeDto(path=path, change=_kind(blobs)) for path, blobs in facts.differing.items()
        ],
        changes=[_change(each) for each in assessment.changes],
        effects=assessment.effects.to_json(),
        effect_digest=assessment.effect_digest,
        risk=assessment.risk,
        checks=[_check(each) for each in checks],
        findings=list(findings(checks)),
        backtest=next((each.report for each in checks if each.name == "backtest"), None),
        policy=[each.to_json() for each in assessment.asked],
        approvals=[_vote(each, counts=each.decision_id in counts) for each in facts.votes],
        comments=[_comment(each) for each in reviews.comments(connection, review.draft_id)],
        conflicts=[
            ConflictDto(path=each.path, base=each.base, main=each.ours, draft=each.theirs)
            for each in merged.conflicts
        ],
        behind=len(behind),
        mergeable=assessment.mergeable,
        reasons=reasons if why is None else [*reasons, why],
    )


def _commits(context: Context, main: str, head: str) -> list[CommitDto]:
    found = git_merge.lacking(context.repository, main, head, limit=COMMITS_SHOWN)
    return [
        CommitDto(
            sha=each.sha,
            author=each.author,
            subject=each.subject,
            authored_at=each.authored_at,
        )
        for each in map(context.repository.commit, found)
    ]


def _kind(blobs: Blobs) -> FileChange:
    old, new = blobs
    if old is None:
        return "added"
    return "removed" if new is None else "changed"


def _change(change: Change) -> ChangeDto:
    return ChangeDto(
        path=change.path,
        kind=change.kind,
        document_id=change.document_id,
        words=change.words,
        weight=change.weight,
    )


def _check(check: Check) -> CheckDto:
    return CheckDto(
        name=check.name,
        status=check.status,
        summary=check.summary,
        main=check.main,
        started_at=check.started_at,
        completed_at=check.completed_at,
        artifact_id=check.artifact_id,
    )


def findings(checks: Sequence[Check]) -> Iterator[FindingDto]:
    """What checks have to say of a line: their reports list it, at some depth."""
    for check in checks:
        for each in _listed(check.report):
            yield FindingDto(check=check.name, **{key: each[key] for key in _FINDING})


def _listed(report: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(report, list):
        for each in report:
            yield from _listed(each)
    elif isinstance(report, Mapping) and report.keys() >= _FINDING:
        yield report
    elif isinstance(report, Mapping):
        for name in ("issues", "failures"):
            yield from _listed(report.get(name))


_FINDING: Final = {"path", "line", "column", "code", "message"}


def _vote(vote: Vote, *, counts: bool) -> VoteDto:
    return VoteDto(
        decision_id=vote.decision_id,
        principal=vote.principal,
        decision=vote.decision,
        comment=vote.comment,
        iteration=vote.iteration,
        effect_digest=vote.effect_digest,
        created_at=vote.created_at,
        counts=counts,
        used_by=vote.used_by,
    )


def _comment(comment: Comment) -> CommentDto:
    return CommentDto(
        comment_id=comment.comment_id,
        iteration=comment.iteration,
        author=comment.author,
        text=comment.text,
        path=comment.path,
        line=comment.line,
        created_at=comment.created_at,
    )


def _file_diff(context: Context, path: str, blobs: Blobs) -> FileDiffDto:
    old, new = (None if blob is None else context.repository.read(blob) for blob in blobs)
    found: TextDiff = text_diff.diff(old, new)
    return FileDiffDto(
        path=path,
        change=_kind(blobs),
        kind=found.kind,
        added=found.added,
        removed=found.removed,
        hunks=[
            HunkDto(
                header=hunk.header,
                lines=[
                    LineDto(
                        side=line.side,
                        old=line.old,
                        new=line.new,
                        text=line.text,
                        marks=list(line.marks),
                    )
                    for line in hunk.lines
                ],
            )
            for hunk in found.hunks
        ],
    )
