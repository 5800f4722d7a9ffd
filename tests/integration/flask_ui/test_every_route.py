"""Each address, by its rule in the application: who reads it, who changes by it, and who never may.

A new address is in these tables or the tests fail: nobody has to remember it.
"""

import json
import uuid
from typing import Final

import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.integration.flask_ui.conftest import Web
from tests.integration.flask_ui.guarded import Guarded, guard

NOBODY_READS: Final = b"""\
policy_id: 0c6a0c52-0f6b-4f0b-9b61-6f1f0c7b5a98
policy_type: governance
name: Nobody reads
status: active
rules:
  - rule_id: 5a1f7b0e-6a53-4b8e-8a2f-0f1f1f0b2c98
    priority: 1000
    match: {action: state.read}
    effect: deny
  - rule_id: 5a1f7b0e-6a53-4b8e-8a2f-0f1f1f0b2c97
    priority: 1000
    match: {action: records.read}
    effect: deny
"""
OWN_WORDS: Final = frozenset(
    {
        "/",
        "/healthz",
        "/readyz",
        "/static/<path:filename>",
        "/ui/login",
        "/ui/health",
        "/ui/policy",
        "/ui/sessions",
        "/api/v1/backlog",
        "/api/v1/health",
        "/api/v1/openapi.json",
        "/api/v1/policy/break-glass",
        "/api/v1/sessions",
        "/api/v1/status",
        "/api/v1/tokens",
    }
)
"""What tells of the node itself, of who asks, or of the rules."""
ASKS_NOBODY: Final = frozenset({"/hooks/<name:source_id>", "/ui/login"})
"""What a source verifies, and the way to sign in."""
EXAMPLES: Final = {
    "uuid": str(uuid.UUID(int=7)),
    "name": "abc",
    "draft": "abc",
    "sha256": "0" * 64,
    "path": "git-receive-pack",
}


def address(rule: Rule) -> str:
    """One that the rule takes."""
    text = rule.rule
    for kind, example in EXAMPLES.items():
        for name in rule.arguments:
            text = text.replace(f"<{kind}:{name}>", example)
    return text.replace("<draft>", "abc")


def asked(where: str) -> str:
    """To read what an address is about: git announces at one of its own what it wants."""
    return where.replace("git-receive-pack", "info/refs?service=git-upload-pack")


def refused(answer: TestResponse) -> bool:
    """Whether it asks who this is: in words, on a page by showing where to say it."""
    return answer.status_code == 401 or answer.headers.get("Location", "").startswith("/ui/login")


def rules(web: Web, *methods: str) -> list[tuple[str, Rule]]:
    return [
        (method, rule)
        for rule in web.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) & set(methods))
    ]


@pytest.fixture
def guarded(empty: Web) -> Guarded:
    return guard(empty)


def test_what_no_rule_lets_anybody_read_is_refused_at_every_address(empty: Web) -> None:
    guarded = guard(empty, house=NOBODY_READS)
    client, headers = guarded.client(), guarded.acting("ada")
    answers = {
        rule.rule: client.get(asked(address(rule)), headers=headers)
        for _, rule in rules(empty, "GET")
        if rule.rule not in OWN_WORDS
    }

    assert {rule: answer.status_code for rule, answer in answers.items()} == dict.fromkeys(
        answers, 403
    )
    assert {rule.rule for rule in empty.app.url_map.iter_rules()} >= OWN_WORDS


def test_nothing_is_changed_by_who_does_not_say_who_it_is(guarded: Guarded) -> None:
    client = guarded.client()
    answers = {
        f"{method} {rule.rule}": refused(client.open(address(rule), method=method))
        for method, rule in rules(guarded.web, "POST", "PUT", "DELETE", "PATCH")
        if rule.rule not in ASKS_NOBODY
    }

    assert len(answers) > 40
    assert answers == dict.fromkeys(answers, True)


@pytest.mark.parametrize(
    "path",
    [
        "git-receive-pack",
        "git-receive-pack/",
        "git-receive-pack?service=git-upload-pack",
        "git-receive-pack/?service=git-upload-pack",
        "info/refs?service=git-receive-pack",
        "info/refs/?service=git-receive-pack",
        "info/refs?service=git-receive-pack&service=git-upload-pack",
    ],
)
def test_a_push_is_one_however_its_address_is_spelt(guarded: Guarded, path: str) -> None:
    kind = "application/x-git-receive-pack-request"
    method = "GET" if path.startswith("info") else "POST"

    answer = guarded.client().open(f"/git/state.git/{path}", method=method, content_type=kind)

    assert answer.status_code == 401


def test_no_page_of_another_site_changes_anything_at_any_address(guarded: Guarded) -> None:
    client, owner = guarded.client(), guarded.owner()
    asked = rules(guarded.web, "POST", "PUT", "DELETE", "PATCH")
    answers = {
        f"{method} {rule.rule}": client.open(
            address(rule), method=method, headers={**owner, "Sec-Fetch-Site": "cross-site"}
        ).status_code
        for method, rule in asked
    }

    assert answers == dict.fromkeys(answers, 403)


HOSTILE_TEXTS: Final = (
    "\x00",
    "\ud800",
    "\u202e\x1b[31m\r\n",
    "{{ secrets }}",
    "{% for a in b %}",
    "'; drop table runs; --",
    "../../etc/passwd",
    "-oProxyCommand=id",
    "a" * 300_000,
)
HOSTILE_VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    -1,
    10**400,
    1.5,
    [],
    {},
    [[]],
    {"a": {"b": None}},
    "",
    "abc",
)
HOSTILE_BODIES: Final = (
    b"",
    b"\xff\xfe",
    b"\x00",
    b"null",
    b"[]",
    b'"text"',
    b"0",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"9" * 5000,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a": 1, "a": 2}',
    b'{"\\ud800": "\\udfff"}',
    b'{"\\u0000": "\\u0000"}',
    b"{" + b'"a": 1, ' * 10_000 + b'"b": 2}',
    b'{"a": "' + b"x" * 900_000 + b'"}',
)
FIELDS: Final = (
    *("action", "actor", "cursor", "with", "timeout_seconds", "wait_seconds", "name", "kind"),
    *("content", "content_base64", "content_type", "metadata", "run_id", "step_id", "notes"),
    *("comment", "form", "text", "path", "line", "reason", "grant_id", "principal", "expires_in"),
    *("event_name", "data", "resource", "correlation_id", "blueprint_ref", "inputs", "files"),
    *("revision", "effect_digest", "outcome", "outputs", "token", "base", "from_step", "days"),
)


def test_no_body_of_any_form_is_a_fault_of_ours(guarded: Guarded) -> None:
    client, owner = guarded.client(), guarded.owner()
    odd = [
        *HOSTILE_BODIES,
        *(
            json.dumps(dict.fromkeys(FIELDS, value)).encode()
            for value in (*HOSTILE_VALUES, *HOSTILE_TEXTS[:-1])
        ),
        json.dumps({"name": HOSTILE_TEXTS[-1], "action": "http.call"}).encode(),
    ]
    faults = {
        f"{method} {rule.rule} {body[:60]!r}": answer.text[:300]
        for method, rule in rules(guarded.web, "POST", "PUT")
        for body in odd
        for kind in ("application/json", "application/x-www-form-urlencoded")
        for answer in [
            client.open(address(rule), method=method, data=body, content_type=kind, headers=owner)
        ]
        if answer.status_code >= 500 or "Traceback" in answer.text
    }

    assert not faults, faults


def test_no_query_of_any_form_is_a_fault_of_ours(guarded: Guarded) -> None:
    client, owner = guarded.client(), guarded.owner()
    names = (
        *("limit", "cursor", "q", "status", "since", "until", "name", "kind", "run_id", "tab"),
        *("offset", "path", "actor", "action", "revision", "base", "blueprint", "step"),
    )
    faults = {
        f"GET {rule.rule} {value[:60]!r}": answer.text[:300]
        for _, rule in rules(guarded.web, "GET")
        if not rule.rule.endswith("/stream")
        for value in ("", "-1", "9" * 400, "1e5", "null", "NaN", *HOSTILE_TEXTS[:-1], "a" * 3000)
        for answer in [
            client.get(
                address(rule),
                query_string={name: value.encode("utf-8", "surrogatepass") for name in names},
                headers=owner,
            )
        ]
        if answer.status_code >= 500 or "Traceback" in answer.text
    }

    assert not faults, faults
