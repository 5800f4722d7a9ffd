"""An action of a pack without code: one of Xyn's own, asked and understood as the pack declares.

Pure. What the tool is given is rendered from ``inputs`` and ``settings``, its answer from these
and ``response`` (over pages: and ``items``). Everything is rendered once: what came from
outside is data, never a template. The trap: text that goes into a command line (``cmd`` of
``ssh``) is quoted for its shell, exactly as in a blueprint.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin

from xyn_reconciler.action.url import parse_url
from xyn_reconciler.desired.expression import (
    ExpressionError,
    UndefinedValueError,
    parse_expression,
    render_value,
)
from xyn_reconciler.desired.values import Scope
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

MOST_PAGES: Final = 50
"""Pages where ``most`` says nothing."""
_OPTIONAL: Final = ("query", "headers", "form")
"""Parts of a request where a member that is null is left out: an input that nobody gave."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
ALL_ANSWERS: Final = tuple(status for status in range(100, 600) if status not in _REDIRECTS)
"""``expect_status`` with which ``http.call`` leaves it to the pack what an answer means."""


def render_call(
    body: Mapping[str, Any],
    roots: Scope,
    quoted: Collection[str],
    quote: Any,  # noqa: ANN401 - of shlex
) -> dict[str, Any]:
    """Give what the tool is given; text that goes into inputs named in ``quoted`` is quoted."""
    call: dict[str, Any] = {
        name: render_value(value, roots, escape=quote if name in quoted else None)
        for name, value in body.items()
    }
    for name in _OPTIONAL:
        if isinstance(call.get(name), dict):
            call[name] = {key: value for key, value in call[name].items() if value is not None}
    return call


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def page_items(paginate: Mapping[str, Any], roots: Scope) -> list[Any]:
    """Give what one page brings; raises ``invalid_output`` where it is no list."""
    items = render_value(paginate["items"], roots)
    if not isinstance(items, list):
        raise PermanentError("invalid_output", "paginate.items is no list in this answer")
    return items


def next_call(
    paginate: Mapping[str, Any], call: Mapping[str, Any], roots: Scope
) -> dict[str, Any] | None:
    """Give the request for the page after this one; ``None`` at the end.

    Raises ``next_elsewhere`` where it is of another origin: credentials go along.
    """
    if "next_query" in paginate:
        # A mapping stays one.
        query: Any = render_value(paginate["next_query"], roots)
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return {**call, "query": {**call.get("query", {}), **given}} if given else None
    where = render_value(paginate["next"], roots)
    if where in (None, ""):
        return None
    if not isinstance(where, str):
        raise PermanentError("invalid_output", "paginate.next is no URL in this answer")
    url = urljoin(call["url"], where)
    if parse_url(url)[1] != parse_url(call["url"])[1]:
        message = f"the next page, {url}, is not where the first one is: {call['url']}"
        raise PermanentError("next_elsewhere", message)
    # It names its page in full; what the first page was asked is in it.
    return {name: value for name, value in call.items() if name != "query"} | {"url": url}


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def failure(
    rules: Sequence[Mapping[str, Any]], roots: Scope, failed: StepError | None
) -> StepError | None:
    """Give what the answer (``response`` of ``roots``) means by the first rule that fits it.

    ``failed`` is what the tool took it for: its details stay, and how long to wait.
    """
    for rule in rules:
        if _fits(rule, roots):
            message = rule.get("message")
            told = (
                f"the outside system refused: {rule['code']}" if failed is None else failed.message
            )
            text = told if message is None else str(render_value(message, roots))
            details = None if failed is None else failed.details
            if not rule.get("temporary", False):
                return PermanentError(rule["code"], text, details=details)
            delay = failed.delay if isinstance(failed, TemporaryError) else _wait(roots)
            return TemporaryError(rule["code"], text, delay=delay, details=details)
    return None


def _wait(roots: Scope) -> dt.timedelta | None:
    """What the server asks for, of an answer that ``http.call`` does not take for temporary."""
    from xyn_reconciler.action.http_answer import retry_after  # noqa: PLC0415 - loaded by the call

    response = roots["response"]
    headers = response.get("headers") if isinstance(response, dict) else None
    asked = headers.get("retry-after") if isinstance(headers, dict) else None
    return retry_after(asked) if isinstance(asked, str) else None


def _fits(rule: Mapping[str, Any], roots: Scope) -> bool:
    response = roots["response"]
    for key, member in (("status", "status"), ("exit_code", "exit_status")):
        if key in rule and (
            not isinstance(response, dict) or response.get(member) not in rule[key]
        ):
            return False
    if "when" not in rule:
        return True
    try:
        return parse_expression(rule["when"]).holds(roots)
    except UndefinedValueError:
        return False  # An answer that lacks what it asks about is another answer.


def outputs(definition: Mapping[str, Any], roots: Scope) -> dict[str, Any]:
    """Give what the action gives: as declared, else the pages' items, else the answer as it is.

    Raises ``invalid_output`` where the answer lacks what the pack takes from it.
    """
    declared = definition.get("outputs")
    if declared is None:
        found = {"items": roots["items"]} if "items" in roots else roots["response"]
        return dict(found) if isinstance(found, dict) else {}
    try:
        return {name: render_value(value, roots) for name, value in declared.items()}
    except ExpressionError as error:
        raise PermanentError(
            "invalid_output", f"the answer does not fit: {error.message}{_not_json(roots)}"
        ) from error


def _not_json(roots: Scope) -> str:
    """Say that an answer of ``http.call`` was not read as JSON, which servers are apt to forget."""
    response = roots.get("response")
    if not isinstance(response, dict) or response.get("json", "") is not None:
        return ""
    headers = response.get("headers")
    kind = headers.get("content-type", "absent") if isinstance(headers, dict) else "absent"
    return f" (response.json is null: the Content-Type is {kind}, or the body is no JSON)"
