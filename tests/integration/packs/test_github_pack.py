"""The pack github against a server that speaks GitHub's REST API."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.github_api import GitHub, github_api, too_often
from tests.integration.packs.conftest import Does
from xyn_reconciler.model.errors import StepError, TemporaryError

SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
REF = "sys/local/integrations/github"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with github_api() as found:
        yield found


def ask(does: Does, github: GitHub, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    if name != "limits":
        more = {"repository": github.repository, **more}
    return does(f"github.{name}", {"url": github.url}, {REF: github.token}, **more)


def refusal(does: Does, github: GitHub, name: str, **more: Any) -> StepError:  # noqa: ANN401 - any JSON
    with pytest.raises(StepError) as caught:
        ask(does, github, name, **more)
    return caught.value


def test_an_issue_is_opened_and_written_to(does: Does, github: GitHub) -> None:
    made = ask(does, github, "issue.create", title="The disk is full", labels=["night"])
    ask(does, github, "issue.comment", number=made["number"], body="It is mended.")

    assert made == {"number": 1, "url": "https://github.com/octo-org/hello/issues/1"}
    assert (github.issues[0]["title"], github.issues[0]["labels"]) == (
        "The disk is full",
        ["night"],
    )
    assert (github.comments[0]["issue"], github.comments[0]["body"]) == (1, "It is mended.")


def test_issues_of_every_page_are_listed(does: Does, github: GitHub) -> None:
    github.issues = [
        {"number": number, "title": "t", "state": "open", "labels": ["a"] if number % 2 else []}
        for number in range(1, 251)
    ]
    whole = ask(does, github, "issue.list")
    asked, github.asked = github.asked, 0
    odd = ask(does, github, "issue.list", labels=["a"])

    assert whole["numbers"] == list(range(1, 251))
    assert asked == 3
    assert odd["numbers"] == list(range(1, 251, 2))
    assert github.asked == 2


def test_a_commit_is_marked(does: Does, github: GitHub) -> None:
    given: dict[str, Any] = {"sha": SHA, "state": "failure", "context": "xyn/disk"}
    ask(does, github, "status.set", **given, target_url="https://xyn.example.net/runs/1")

    (status,) = github.statuses
    assert (status["sha"], status["state"], status["context"]) == (SHA, "failure", "xyn/disk")
    assert (
        refusal(does, github, "status.set", **given | {"sha": "0" * 40}).failure_code == "refused"
    )


def test_what_github_refuses_is_told_by_its_code(does: Does, github: GitHub) -> None:
    elsewhere = refusal(does, github, "issue.create", title="t", repository="octo-org/nowhere")
    missing = refusal(does, github, "issue.comment", number=7, body="b")
    github.has_issues = False
    disabled = refusal(does, github, "issue.create", title="t")
    with pytest.raises(StepError) as wrong:
        does("github.limits", {"url": github.url}, {REF: "another"})

    assert elsewhere.failure_code == missing.failure_code == "not_found"
    assert disabled.failure_code == "issues_disabled"
    assert wrong.value.failure_code == "not_authorized"


def test_a_token_that_asks_too_often_waits_as_it_is_told(does: Does, github: GitHub) -> None:
    github.limits = [
        too_often(Retry_After="60"),
        too_often(X_RateLimit_Remaining="0"),
        too_often(429, Retry_After="5"),
        too_often(X_RateLimit_Remaining="12"),
    ]
    first, second, third, last = (
        refusal(does, github, "issue.create", title="t") for _ in range(4)
    )

    for each in (first, second, third):
        assert isinstance(each, TemporaryError)
        assert each.failure_code == "rate_limited"
    assert isinstance(first, TemporaryError)
    assert first.delay == dt.timedelta(seconds=60)
    assert isinstance(third, TemporaryError)
    assert third.delay == dt.timedelta(seconds=5)
    assert last.failure_code == "forbidden"
    assert github.issues == []


def test_the_smoke_test_says_how_often_github_may_be_asked(does: Does, github: GitHub) -> None:
    assert ask(does, github, "limits")["remaining"] == 4999
