import datetime as dt
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.event import Event
from xyn_reconciler.trigger.event_names import ReservedNameError, is_name
from xyn_reconciler.trigger.json_body import InvalidJsonError
from xyn_reconciler.trigger.mapping import (
    Delivery,
    MappingError,
    UnsupportedBodyError,
    map_delivery,
)

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
JSON = {"Content-Type": "application/json"}
GITHUB = {
    "id": "github",
    "verify": {"scheme": "github", "secret_refs": ["env/SECRET"]},
    "delivery_id": "{{ headers['x-github-delivery'] }}",
    "event_type": "github.{{ headers['x-github-event'] }}",
    "resource": {"type": "repository", "id": "{{ item.repository.full_name }}"},
    "data": "{{ item }}",
}
HEADERS = JSON | {"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push"}
ALERTS = {"id": "am", "verify": {"scheme": "none"}, "event_type": "am.alert"}


def mapped(source: dict[str, Any], body: object, headers: dict[str, str] = JSON) -> list[Event]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return map_delivery(
        source,
        Delivery(headers, raw),
        env_id="local",
        correlation_id="c",
        now=NOW,
        new_id=uuid.uuid4,
    )


def test_a_github_push_becomes_an_event() -> None:
    body = json.dumps({"repository": {"full_name": "a/b"}, "n": 1}).encode()

    (event,) = mapped(GITHUB, body, HEADERS)

    assert event.event_name == "github.push"
    assert event.resource == {"type": "repository", "id": "a/b"}
    assert event.data == {"repository": {"full_name": "a/b"}, "n": 1}
    assert (event.source, event.delivery_id, event.delivery_item) == ("github", "d-1", 0)
    assert (event.raw, event.actor) == (body, "source:github")


def test_each_item_of_a_batch_is_an_event_and_the_body_is_kept_once() -> None:
    source = ALERTS | {
        "foreach": "{{ body.alerts }}",
        "data": {"name": "{{ item.labels.alertname }}", "index": "{{ item_index }}"},
    }
    alerts = [{"labels": {"alertname": name}} for name in ("disk", "load")]

    first, second = mapped(source, {"alerts": alerts})

    assert (first.data, second.data) == (
        {"name": "disk", "index": 0},
        {"name": "load", "index": 1},
    )
    assert (first.delivery_item, second.delivery_item) == (0, 1)
    assert first.raw is not None
    assert second.raw is None
    assert mapped(source, {"alerts": []}) == []


def test_form_bodies_are_read_as_github_and_others_send_them() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

    (github,) = mapped(ALERTS, b"payload=%7B%22a%22%3A+1%7D", form)
    (plain,) = mapped(ALERTS, b"a=1&b=x&b=y&c=", form)

    assert github.data == {"a": 1}
    assert plain.data == {"a": "1", "b": ["x", "y"], "c": ""}


def test_a_body_that_is_no_object_is_kept_as_a_value() -> None:
    (event,) = mapped(ALERTS, b"[1, 2]")

    assert event.data == {"value": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"event_type": "am.{{ body.missing }}"}, "event_type"),
        ({"event_type": "{{ '///' }}"}, "event_type"),
        ({"data": {"x": "{{ body.n + 'a' }}"}}, "data"),
        ({"foreach": "{{ body.n }}"}, "foreach"),
        ({"foreach": "{{ body.alerts }}"}, "foreach"),
        ({"delivery_id": "{{ headers['x-id'] }}"}, "delivery_id"),
        ({"resource": {"type": "a", "id": "{{ item.x.y }}"}}, "resource.id"),
    ],
)
def test_a_mapping_that_fails_names_source_key_and_reason(
    changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(ALERTS | changes, {"n": 1})

    assert caught.value.details is not None
    assert caught.value.details["source"] == "am"
    assert caught.value.details["key"] == key
    assert caught.value.details["reason"]
    assert caught.value.http_status == 422


def test_a_sender_may_not_make_platform_events() -> None:
    with pytest.raises(ReservedNameError):
        mapped(ALERTS | {"event_type": "{{ body.name }}"}, {"name": "XYN.run.failed"})


def test_a_foreign_name_is_made_to_fit() -> None:
    (event,) = mapped(ALERTS | {"event_type": "am.{{ body.name }}"}, {"name": "Disk Full/Ä."})

    assert event.event_name == "am.disk-full-"
    assert is_name(event.event_name)


@given(st.text(), st.text())
def test_whatever_is_sent_is_an_event_or_an_invalid_error(name: str, delivery: str) -> None:
    source = ALERTS | {"event_type": "{{ body.name }}", "delivery_id": "{{ body.delivery }}"}
    try:
        (event,) = mapped(source, {"name": name, "delivery": delivery})
    except InvalidError:
        return
    assert is_name(event.event_name)
    assert event.delivery_id is None or event.delivery_id.isprintable()


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("application/json", InvalidJsonError),
        ("", InvalidJsonError),
        ("text/plain", InvalidJsonError),
        ("application/vnd.x+json", InvalidJsonError),
        ("multipart/form-data; boundary=x", UnsupportedBodyError),
        ("application/xml", UnsupportedBodyError),
    ],
)
def test_what_is_no_json_is_refused_by_what_it_claims_to_be(
    content_type: str, error: type[InvalidError]
) -> None:
    with pytest.raises(error):
        mapped(ALERTS, b"<a/>", {"Content-Type": content_type})


def test_json_under_another_name_is_taken() -> None:
    (event,) = mapped(ALERTS, b'{"a": 1}', {"Content-Type": "application/octet-stream"})

    assert event.data == {"a": 1}


def test_credentials_and_signatures_are_out_of_reach_of_expressions() -> None:
    source = ALERTS | {
        "verify": {"scheme": "hmac", "header": "X-Own-Sign", "secret_refs": ["env/A"]},
        "data": "{{ headers }}",
    }
    headers = JSON | {
        "Authorization": "Bearer hunter2",
        "Cookie": "a=hunter2",
        "X-Hub-Signature-256": "hunter2",
        "X-Own-Sign": "hunter2",
        "X-Plain": "yes",
    }

    (event,) = mapped(source, {}, headers)

    assert event.data == {"content-type": "application/json", "x-plain": "yes"}


def test_payload_digest_keeps_nothing_but_the_digest() -> None:
    (event,) = mapped(ALERTS | {"payload": "digest"}, b'{"mail": "ada@example.net"}')

    assert set(event.data) == {"sha256", "byte_length"}
    assert event.raw is None


def test_redacted_values_are_gone_from_data_and_from_the_raw_body() -> None:
    source = ALERTS | {"redact": ["data.sender.email", "data.commits[*].author", "data.pin"]}
    body = {
        "sender": {"email": "ada@example.net", "id": 7},
        "commits": [{"author": {"name": "Ada L"}, "sha": "1"}],
        "pin": 4711,
        "note": "mail to ADA@example.net please",
    }

    (event,) = mapped(source, body)

    assert event.data["sender"] == {"email": "[redacted]", "id": 7}
    assert event.data["commits"] == [{"author": "[redacted]", "sha": "1"}]
    assert event.raw is not None
    raw = event.raw.decode()
    assert json.loads(raw)["sender"]["id"] == 7
    for secret in ("ada@example.net", "ADA@", "Ada L", "4711"):
        assert secret not in raw


def test_a_raw_body_that_cannot_be_rid_of_a_redacted_value_is_not_kept() -> None:
    source = ALERTS | {"redact": ["data.mail"], "data": {"mail": "{{ body.mail | b64decode }}"}}

    (event,) = mapped(source, {"mail": "YWRhQGV4YW1wbGUubmV0"})

    assert event.data == {"mail": "[redacted]"}
    assert event.raw is None


def test_a_redact_path_goes_through_lists_without_saying_so() -> None:
    (event,) = mapped(ALERTS | {"redact": ["data.users.mail"]}, {"users": [{"mail": "a@b.c"}]})

    assert event.data == {"users": [{"mail": "[redacted]"}]}


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "X-Slack-Signature",
        "X-Shopify-Hmac-Sha256",
        "X-Amz-Security-Token",
        "X-Hook-Secret",
        "X-Vendor-ApiKey",
        "X-Camera",
    ],
)
def test_no_expression_reaches_a_header_that_carries_a_credential(name: str) -> None:
    source = {
        "id": "any",
        "verify": {"scheme": "hmac", "secret_refs": ["env/S"], "header": "X-Camera"},
        "event_type": "any.note",
        "data": {"headers": "{{ headers }}"},
    }

    (event,) = map_delivery(
        source,
        Delivery({name: "hunter2", "X-Event-Key": "open"}, b"{}"),
        env_id="local",
        correlation_id="c",
        now=NOW,
        new_id=uuid.uuid4,
    )

    assert event.data == {"headers": {"x-event-key": "open"}}
