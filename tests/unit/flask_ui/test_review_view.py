import datetime as dt
import uuid

import pytest

from flask_ui.review_view import LINE_SHOWN, effect_rows, files, pieces, visible, why_dead
from xyn_reconciler.model.dto import CommentDto, FindingDto, ReviewDto, VoteDto
from xyn_reconciler.review.text_diff import diff

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def finding(path: str, line: int) -> FindingDto:
    return FindingDto(
        check="validation", path=path, line=line, column=1, code="missing_key", message="say it"
    )


def comment(path: str | None, line: int | None) -> CommentDto:
    return CommentDto(
        comment_id=uuid.uuid4(),
        iteration=1,
        author="ada",
        text="why?",
        path=path,
        line=line,
        created_at=NOW,
    )


def vote(principal: str = "grace", digest: str = "a" * 64, **more: object) -> VoteDto:
    return VoteDto.model_validate(
        {
            "decision_id": uuid.uuid4(),
            "principal": principal,
            "decision": "approved",
            "iteration": 1,
            "effect_digest": digest,
            "created_at": NOW,
            "counts": False,
            **more,
        }
    )


def review(*votes: VoteDto) -> ReviewDto:
    return ReviewDto.model_construct(effect_digest="a" * 64, approvals=list(votes))


def test_what_was_said_of_a_line_stands_at_that_line() -> None:
    (shown,) = files(
        [("a.yaml", diff(b"one\n", b"two\n"))],
        [finding("a.yaml", 1), finding("b.yaml", 1)],
        [comment("a.yaml", 1)],
    )

    assert shown.hunks is not None
    ((_, (old, new)),) = shown.hunks
    assert (old.findings, old.comments) == ((), ())
    assert [each.code for each in new.findings] == ["missing_key"]
    assert [each.text for each in new.comments] == ["why?"]
    assert (shown.findings, shown.comments) == ((), ())


def test_what_was_said_of_a_line_that_is_gone_stands_at_the_file() -> None:
    (shown,) = files([("a.yaml", diff(b"a\n", b"b\n"))], [], [comment("a.yaml", 70)])

    assert [each.line for each in shown.comments] == [70]


def test_a_page_shows_so_many_lines_and_keeps_what_was_said_of_the_others() -> None:
    long = diff(None, b"x\n" * 10)

    first, second, third = files(
        [("a", long), ("b", long), ("c", diff(None, b"y\n"))], [finding("b", 3)], [], most=12
    )

    assert first.hunks is not None
    assert second.hunks is None
    assert [each.line for each in second.findings] == [3]
    assert third.hunks is not None


def test_a_line_is_cut_at_its_marks() -> None:
    assert pieces("run ssh now", [(4, 7)]) == (("run ", False), ("ssh", True), (" now", False))


def test_a_very_long_line_says_how_much_more_there_is() -> None:
    found = pieces("a" * (LINE_SHOWN + 5), [(LINE_SHOWN - 1, LINE_SHOWN + 3)])

    assert found[-2:] == (("a", True), (" … and 5 more characters", False))
    assert sum(len(text) for text, _ in found[:-1]) == LINE_SHOWN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext ä 漢", "plain\ttext ä 漢"),
        ("end\r", "end␍"),
        ("if \u202eadmin", "if <U+202E>admin"),
        ("zero\u200bwidth", "zero<U+200B>width"),
        ("bell\x07", "bell<U+0007>"),
    ],
)
def test_what_a_browser_would_hide_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_vote_that_does_not_count_says_why() -> None:
    stale, used, gone = vote(digest="b" * 64), vote(used_by="c" * 40), vote("mallory")
    early, late = vote(), vote(decision="rejected", counts=True)
    found = review(stale, used, gone, early, late)

    assert why_dead(stale, found) == (
        "it was for something else: what this would change has changed since"
    )
    assert why_dead(used, found) == "it allowed the promotion cccccccc"
    assert why_dead(gone, found) == "mallory is no person of principals.yaml any more"
    assert why_dead(early, found) == "grace has rejected it since"
    assert why_dead(late, found) is None


def test_effects_that_are_not_had_take_no_row() -> None:
    nothing: dict[str, list[object]] = {"gained": [], "lost": []}
    effects = dict.fromkeys(("triggers", "schedules", "actions", "hosts", "secrets"), nothing)
    gate = {"document_id": "bp.x", "name": "approve"}

    assert effect_rows({**effects, "gates": {"gained": [], "lost": [gate]}}) == [
        ("gates", [], [gate])
    ]
