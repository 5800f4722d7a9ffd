"""``xynctl review`` and ``rollback``."""

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.cli.client import Client, connect, segment
from xyn_reconciler.cli.output import answer, paint, plain, print_list, print_one, remark

_PROMOTION_SECONDS: Final = 120.0
"""A promotion waits a minute for checks, and then for the node to apply it."""
_CHECKS_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.3
_SHORT: Final = 12
_SIGNS: Final = {"same": " ", "old": "-", "new": "+"}

Json = Mapping[str, Any]


def _state(draft: Json) -> str:
    gone = draft["closed_at"] is not None and draft["status"] != "promoted"
    return "closed" if gone else str(draft["status"])


_COLUMNS = {
    "name": lambda row: row["name"],
    "status": _state,
    "author": lambda row: row["author"],
    "iteration": lambda row: row["iteration"],
    "head": lambda row: row["head"][:12],
    "updated": lambda row: row["updated_at"],
}


def list_drafts(options: argparse.Namespace) -> None:
    asked = {} if options.all else {"open_only": "true"}
    rows = connect(options).items("/drafts", limit=options.limit, **asked)
    print_list(
        list(rows),
        _COLUMNS,
        name="name",
        form=options.output,
        empty="no draft is under review; make one: git push origin HEAD:draft/NAME",
    )


def show(options: argparse.Namespace) -> None:
    _print(connect(options).get(_path(options, "/review")), options)


def diff(options: argparse.Namespace) -> None:
    """Print the changes in words, and then as ``git diff`` does."""
    found = connect(options).get(_path(options, "/diff"))
    if options.output != "table":
        print_one(found, name="name", form=options.output)
        return
    for change in found["changes"]:
        answer(_change(change))
    for file in found["files"]:
        answer("")
        for line in _file_lines(file):
            answer(line)


def check(options: argparse.Namespace) -> int:
    """Print what the checks found; 1 where one of them failed, or does not end."""
    client = connect(options)
    review = client.post(_path(options, "/check"))
    until = time.monotonic() + _CHECKS_SECONDS
    while _unfinished(review) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        review = client.get(_path(options, "/review"))
    if options.output == "table":
        for line in (*_checks(review), *_findings(review)):
            answer(paint(line))
    else:
        print_one(review, name="name", form=options.output)
    return int(any(each["status"] not in ("passed", "skipped") for each in review["checks"]))


def approve(options: argparse.Namespace) -> None:
    _decide(options, "approve")


def reject(options: argparse.Namespace) -> None:
    _decide(options, "reject")


def comment(options: argparse.Namespace) -> None:
    given = {"text": options.text, "path": options.path, "line": options.line}
    body = {name: value for name, value in given.items() if value is not None}
    said = connect(options).post(_path(options, "/comment"), body)
    print_one(said, name="comment_id", form=options.output)


def promote(options: argparse.Namespace) -> None:
    client = connect(options)
    waits = _unfinished(client.get(_path(options, "/review")))
    if waits:
        remark(f"waiting for checks: {', '.join(waits)}")
    body = {"head": options.head} if options.head else {}
    moved = client.post(_path(options, "/promote"), body, seconds=_PROMOTION_SECONDS)
    _print_moved(moved, options)


def close(options: argparse.Namespace) -> None:
    draft = connect(options).post(_path(options, "/close"))
    print_one(draft, name="name", form=options.output)


def roll_back(options: argparse.Namespace) -> None:
    body = {"revision": options.revision.lower()}
    moved = connect(options).post("/rollback", body, seconds=_PROMOTION_SECONDS)
    _print_moved(moved, options)


def _path(options: argparse.Namespace, below: str) -> str:
    return f"/drafts/{segment(options.draft)}{below}"


def _decide(options: argparse.Namespace, verb: str) -> None:
    given = {"comment": options.comment, "effect_digest": options.digest}
    body = {name: value for name, value in given.items() if value is not None}
    client: Client = connect(options)
    _print(client.post(_path(options, f"/{verb}"), body), options)


def _print_moved(moved: dict[str, Any], options: argparse.Namespace) -> None:
    if options.output != "table":
        print_one(moved, name="commit", form=options.output)
    elif moved["applied"]:
        answer(f"active: {moved['commit']}")
    else:
        answer(f"main is at {moved['commit']}")
        remark(f"not active: {moved['message']}")


def _print(review: dict[str, Any], options: argparse.Namespace) -> None:
    if options.output != "table":
        print_one(review, name="name", form=options.output)
        return
    for line in _lines(review):
        answer(paint(line))


def _lines(review: Json) -> Iterator[str]:
    """A review as a person reads it: what it does first, what is in the way last."""
    yield f"draft/{review['name']}  {_state(review)}"
    behind = f", {review['behind']} behind" if review["behind"] else ""
    yield (
        f"iteration {review['iteration']} by {review['author']}:"
        f" {review['head'][:_SHORT]} on main {review['main'][:_SHORT]}{behind}"
    )
    if review["notes"]:
        yield from ("", *(plain(line) for line in review["notes"].splitlines()))
    yield from _part("changes", map(_change, review["changes"]))
    yield from _part(f"effects, risk {review['risk']}", _effects(review["effects"]))
    yield from _part("checks", _checks(review))
    yield from _part("findings", _findings(review))
    yield from _part("policy", map(_policy, review["policy"]))
    yield from _part("said", _said(review))
    yield from _part("in the way", map(plain, review["reasons"]))
    if review["version"]:
        yield from ("", f"promoted by {review['version']}")
    elif review["files"] and not review["closed_at"]:
        yield from ("", f"to approve exactly this: --digest {review['effect_digest']}")


def _part(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", title)
        yield from (f"  {line}" for line in found)


def _change(change: Json) -> str:
    return plain(f"{change['document_id']}: {change['words']}")


def _effects(effects: Json) -> Iterator[str]:
    for what, turnover in effects.items():
        if not isinstance(turnover, Mapping):
            continue
        for how in ("gained", "lost"):
            for each in turnover[how]:
                yield plain(f"{how} {what.removesuffix('s')}: {_effect(each)}")


def _effect(effect: Json) -> str:
    if "cron" in effect:
        times = ", ".join(effect["next_times"])
        return f"{effect['document_id']} {effect['cron']} {effect['timezone']}; next {times}"
    return f"{effect['document_id']} {effect['name']}"


def _checks(review: Json) -> Iterator[str]:
    for each in review["checks"]:
        yield f"{each['status']:<11} {each['name']:<11} {plain(each['summary'] or '')}".rstrip()


def _findings(review: Json) -> Iterator[str]:
    for each in review["findings"]:
        place = f"{each['path']}:{each['line']}:{each['column']}"
        yield plain(f"{place}: {each['code']}: {each['message']}")


def _policy(asked: Json) -> str:
    outcome = asked["outcome"].replace("_", " ")
    return plain(f"{asked['action']}: {outcome}: {asked['sentence']}")


def _said(review: Json) -> Iterator[str]:
    for each in review["approvals"]:
        stale = "" if each["counts"] else " (counts no more)"
        words = f": {each['comment']}" if each["comment"] else ""
        yield plain(f"{each['principal']} {each['decision']}{stale}{words}")
    for each in review["comments"]:
        line = f":{each['line']}" if each["line"] else ""
        place = f" on {each['path']}{line}" if each["path"] else ""
        yield plain(f"{each['author']}{place}: {each['text']}")


def _unfinished(review: Json) -> list[str]:
    return [c["name"] for c in review["checks"] if c["status"] in ("running", "interrupted")]


def _file_lines(file: Json) -> Iterator[str]:
    path = file["path"]
    yield plain(f"--- {'/dev/null' if file['change'] == 'added' else path}")
    yield plain(f"+++ {'/dev/null' if file['change'] == 'removed' else path}")
    if file["kind"] != "text":
        yield f"({file['kind'].replace('_', ' ')})"
    for hunk in file["hunks"]:
        yield hunk["header"]
        for line in hunk["lines"]:
            yield _SIGNS[line["side"]] + plain(line["text"])
