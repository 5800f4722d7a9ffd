"""GitHub's REST API of 2022-11-28 as it is documented, for tests: a simulator, and no GitHub.

It has issues, comments and statuses of commits, and asks for what GitHub asks for: a token, a
``User-Agent``, a version that it knows. Lists come in pages, told by ``Link``; a token that asks
too often is told to wait.
"""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.http_site import Asked, Said, serving

VERSIONS: Final = {"2022-11-28"}
Body = dict[str, Any]

_FIELDS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "issue": {
        "title": (str,),
        "body": (str, type(None)),
        "labels": (list,),
        "assignees": (list,),
        "milestone": (int, type(None)),
    },
    "comment": {"body": (str,)},
    "status": {
        "state": (str,),
        "context": (str,),
        "description": (str, type(None)),
        "target_url": (str, type(None)),
    },
}
_NEEDED: Final = {"issue": {"title"}, "comment": {"body"}, "status": {"state"}}


@dataclass
class GitHub:
    """What is there, and what was done to it."""

    token: str = "github_pat_of-the-tests"
    repository: str = "octo-org/hello"
    commits: set[str] = field(default_factory=lambda: {"6dcb09b5b57875f334f61aebed695e2e4193db5e"})
    has_issues: bool = True
    issues: list[Body] = field(default_factory=list)
    comments: list[Body] = field(default_factory=list)
    statuses: list[Body] = field(default_factory=list)
    limits: list[Said] = field(default_factory=list)
    """What the next requests are answered with."""
    asked: int = 0
    url: str = ""

    def answer(self, asked: Asked) -> Said:
        """Answer one request."""
        self.asked += 1
        refused = self._refused(asked)
        if refused is not None:
            return refused
        if asked.path == "/rate_limit":
            core = {"limit": 5000, "used": 1, "remaining": 4999, "reset": 1691591363}
            return Said(200, {"resources": {"core": core}, "rate": core})
        found = re.fullmatch(
            r"/repos/([^/]+/[^/]+)/(issues|statuses)(?:/([^/]+)(/comments)?)?", asked.path
        )
        page = re.fullmatch(r"/repositories/1/issues", asked.path)
        if page or (found and found[1] == self.repository):
            return self._of_the_repository(asked, found)
        return _said(404, "Not Found")

    def _refused(self, asked: Asked) -> Said | None:
        if "user-agent" not in asked.headers:
            return _said(403, "Request forbidden by administrative rules.")
        if asked.headers.get("x-github-api-version", "2022-11-28") not in VERSIONS:
            return _said(400, "The API version is not supported.")
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return _said(401, "Bad credentials")
        return self.limits.pop(0) if self.limits else None

    def _of_the_repository(self, asked: Asked, found: re.Match[str] | None) -> Said:
        kind, name, below = (found[2], found[3], found[4]) if found else ("issues", None, None)
        if kind == "issues" and not self.has_issues:
            return _said(410, "Issues has been disabled in this repository.")
        if asked.method != "POST":
            return self._page(asked) if name is None else _said(404, "Not Found")
        if kind == "statuses":
            return self._status(asked, name or "")
        if name is None:
            return self._made("issue", asked, self.issues, {"number": len(self.issues) + 1})
        if below and any(str(each["number"]) == name for each in self.issues):
            return self._made("comment", asked, self.comments, {"issue": int(name)})
        return _said(404, "Not Found")

    def _status(self, asked: Asked, sha: str) -> Said:
        if sha not in self.commits:
            return _said(422, f"No commit found for SHA: {sha}")
        said = self._made("status", asked, self.statuses, {"sha": sha})
        if said.status == 201 and said.body["state"] not in {
            "error",
            "failure",
            "pending",
            "success",
        }:
            self.statuses.pop()
            return _said(422, "Validation Failed", errors=[{"field": "state", "code": "invalid"}])
        return said

    def _made(self, kind: str, asked: Asked, kept: list[Body], more: Body) -> Said:
        try:
            given = json.loads(asked.content)
        except ValueError:
            return _said(400, "Problems parsing JSON")
        fields = _FIELDS[kind]
        wrong = [
            name
            for name, value in given.items()
            if name not in fields or not isinstance(value, fields[name])
        ]
        missing = [name for name in _NEEDED[kind] if not given.get(name)]
        if wrong or missing:
            errors = [{"field": name, "code": "invalid"} for name in sorted({*wrong, *missing})]
            return _said(422, "Validation Failed", errors=errors)
        number = len(kept) + 1
        where = f"https://github.com/{self.repository}/{kind}s/{number}"
        kept.append({"id": number, "html_url": where, "state": "open", **given, **more})
        return Said(201, kept[-1])

    def _page(self, asked: Asked) -> Said:
        known = {"state", "labels", "per_page", "page", "sort", "direction", "since"}
        if asked.query.keys() - known:
            return _said(422, "Validation Failed")
        labels = {each for each in asked.query.get("labels", "").split(",") if each}
        state = asked.query.get("state", "open")
        found = [
            each
            for each in self.issues
            if labels <= set(each.get("labels", ())) and state in ("all", each["state"])
        ]
        each_page = min(int(asked.query.get("per_page", "30")), 100)
        page, last = int(asked.query.get("page", "1")), max(1, math.ceil(len(found) / each_page))
        rest = "&".join(f"{key}={value}" for key, value in asked.query.items() if key != "page")
        there = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        links = [
            f'<{self.url}/repositories/1/issues?{rest}&page={number}>; rel="{rel}"'
            for rel, number in there.items()
            if 1 <= number <= last and number != page
        ]
        headers = {"Link": ", ".join(links)} if links else {}
        return Said(200, found[(page - 1) * each_page : page * each_page], headers)


def _said(status: int, message: str, **more: object) -> Said:
    told = {"message": message, "documentation_url": "https://docs.github.com/rest", **more}
    return Said(status, told)


def too_often(status: int = 403, **headers: str) -> Said:
    """Give the answer to a token that asks too often."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"message": "You have exceeded a secondary rate limit."}
    return Said(status, body, named)


@contextmanager
def github_api() -> Iterator[GitHub]:
    """Serve it; ``url`` is where."""
    github = GitHub()
    with serving(github.answer) as url:
        github.url = url
        yield github
