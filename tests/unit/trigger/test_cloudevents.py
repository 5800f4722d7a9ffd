import base64
import datetime as dt
import json
import uuid
from typing import Any

import pytest

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.event import Event
from xyn_reconciler.trigger.cloudevents import InvalidCloudEventError, is_cloudevent, read
from xyn_reconciler.trigger.event_names import ReservedNameError

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
MINIMAL = {"specversion": "1.0", "id": "7", "source": "/sensors", "type": "com.example.Seen"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


def events(headers: dict[str, str], body: object) -> list[Event]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(
        headers,
        raw,
        actor="ada",
        env_id="local",
        correlation_id="c",
        now=NOW,
        new_id=uuid.uuid4,
    )


def test_a_structured_event_keeps_attributes_extensions_and_its_bytes() -> None:
    body = json.dumps(
        MINIMAL | {"data": {"state": "CRIT"}, "subject": "db1", "partitionkey": "p"}
    ).encode()

    (event,) = events(STRUCTURED, body)

    assert event.event_name == "com.example.seen"
    assert event.data["state"] == "CRIT"
    assert event.data["cloudevent"]["type"] == "com.example.Seen"
    assert event.data["cloudevent"]["partitionkey"] == "p"
    assert event.resource == {"type": "/sensors", "id": "db1"}
    assert (event.source, event.delivery_id) == ("cloudevents", "/sensors 7")
    assert (event.raw, event.occurred_at) == (body, NOW)


def test_the_time_of_the_event_is_when_it_occurred() -> None:
    (event,) = events(STRUCTURED, MINIMAL | {"time": "2018-04-05t17:31:00.5+02:00"})

    assert event.occurred_at == dt.datetime(2018, 4, 5, 15, 31, 0, 500000, tzinfo=dt.UTC)


def test_a_batch_gives_one_event_each_with_a_delivery_of_its_own() -> None:
    found = events(BATCH, [MINIMAL, MINIMAL | {"id": "8"}])

    assert [event.delivery_id for event in found] == ["/sensors 7", "/sensors 8"]
    assert events(BATCH, []) == []


def test_a_binary_event_has_its_attributes_in_headers() -> None:
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "7",
        "ce-source": "/sensors",
        "ce-type": "com.example.seen",
        "ce-subject": "Gr%C3%B6%C3%9Fe",
        "ce-quoted": '"a \\"b\\""',
    }

    (event,) = events(headers, b'{"state": "CRIT"}')

    assert event.data["state"] == "CRIT"
    assert event.data["cloudevent"]["subject"] == "Größe"
    assert event.data["cloudevent"]["quoted"] == 'a "b"'
    assert event.data["cloudevent"]["datacontenttype"] == "application/json"
    assert event.raw == b'{"state": "CRIT"}'


def test_binary_bodies_of_other_types_are_kept_as_text_or_base64() -> None:
    headers = {f"ce-{key}": value for key, value in MINIMAL.items()}

    (text,) = events(headers | {"content-type": "text/plain"}, "grüß".encode())
    (image,) = events(headers | {"content-type": "image/png"}, b"\x89PNG")
    (empty,) = events(headers, b"")

    assert text.data["value"] == "grüß"
    assert image.data["value"] == base64.b64encode(b"\x89PNG").decode()
    assert image.data["cloudevent"]["data_encoding"] == "base64"
    assert "value" not in empty.data


def test_data_that_is_no_object_or_would_hide_the_attributes_stands_apart() -> None:
    (listed,) = events(STRUCTURED, MINIMAL | {"data": [1]})
    (clash,) = events(STRUCTURED, MINIMAL | {"data": {"cloudevent": "mine"}})
    (binary,) = events(STRUCTURED, MINIMAL | {"data_base64": "AAE="})

    assert listed.data["value"] == [1]
    assert clash.data["value"] == {"cloudevent": "mine"}
    assert binary.data["value"] == "AAE="


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
@pytest.mark.parametrize("value", [None, "", 5])
def test_a_missing_attribute_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidCloudEventError, match=f"'{name}'") as caught:
        events(STRUCTURED, MINIMAL | {name: value})

    assert caught.value.details == {"attribute": name}


@pytest.mark.parametrize(
    "wrong",
    [
        {"specversion": "0.3"},
        {"time": "yesterday"},
        {"time": "2018-04-05T17:31:00"},
        {"time": "0001-01-01T00:00:00+10:00"},
        {"data": 1, "data_base64": "AA=="},
        {"data_base64": "%"},
        {"data_base64": 5},
        {"type": "///"},
    ],
)
def test_what_cannot_be_read_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidCloudEventError):
        events(STRUCTURED, MINIMAL | wrong)


@pytest.mark.parametrize("body", [b"[1]", b"{}", b"null", b"no json", b"\xff"])
@pytest.mark.parametrize("headers", [STRUCTURED, BATCH])
def test_a_body_that_is_no_cloudevent_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(InvalidError):
        events(headers, body)


@pytest.mark.parametrize("kind", ["xyn.run.failed", "XYN.run", "Xyn", "xyn/.x"])
def test_reserved_names_are_refused_in_any_case(kind: str) -> None:
    if kind == "xyn/.x":
        (event,) = events(STRUCTURED, MINIMAL | {"type": kind})
        assert event.event_name == "xyn-.x"
        return
    with pytest.raises(ReservedNameError):
        events(STRUCTURED, MINIMAL | {"type": kind})


def test_a_long_id_makes_a_short_delivery_id_that_stays_the_same() -> None:
    (one,) = events(STRUCTURED, MINIMAL | {"id": "x" * 5000})
    (other,) = events(STRUCTURED, MINIMAL | {"id": "x" * 5000})

    assert one.delivery_id == other.delivery_id
    assert len(str(one.delivery_id)) < 100


def test_cloudevents_are_known_by_their_headers() -> None:
    assert is_cloudevent(STRUCTURED)
    assert is_cloudevent(BATCH)
    assert is_cloudevent({"ce-specversion": "1.0"})
    assert not is_cloudevent({"content-type": "application/json"})
