"""A webhook's body on its way to a run: source document, signature, mapping, intake."""

import datetime as dt
import json
import uuid

import pytest
from sqlalchemy import text

from xyn_reconciler.desired.load import load
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.store import desired, events
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.desired import Document
from xyn_reconciler.trigger.arrival import Receipt
from xyn_reconciler.trigger.intake import Intake
from xyn_reconciler.trigger.mapping import Delivery, map_delivery
from xyn_reconciler.trigger.signature import UnverifiedError, verify

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
SOURCE = b"""\
id: alertmanager
verify: {scheme: bearer, secret_refs: [env/AM_TOKEN]}
foreach: "{{ body.alerts }}"
event_type: "alertmanager.{{ item.status }}"
delivery_id: "{{ item.fingerprint }}/{{ item.startsAt }}"
resource: {type: alert, id: "{{ item.labels.alertname }}"}
data: "{{ item }}"
redact: [data.annotations.reporter]
"""
BLUEPRINT = b"""\
id: bp.disk
triggers:
  - event_type: alertmanager.firing
    match: {data.labels.alertname: "Disk*"}
inputs:
  host: {type: string, from: "{{ event.data.labels.instance }}"}
plan:
  - {id: note, kind: transform, set: {host: "{{ inputs.host }}"}}
"""
HEADERS = {"content-type": "application/json", "authorization": "Bearer am-token"}


def alert(name: str, **labels: str) -> dict[str, object]:
    return {
        "status": "firing",
        "fingerprint": name,
        "startsAt": "2026-01-02T00:00:00Z",
        "labels": {"alertname": name, "instance": "db1"} | labels,
        "annotations": {"reporter": "ada@example.net"},
    }


@pytest.fixture
def node(connection: Connection) -> Connection:
    """A node on which the source and the blueprint are active."""
    files = [("sources/am.yaml", SOURCE), ("blueprints/disk.yaml", BLUEPRINT)]
    loaded = [load(path, uuid.uuid4().hex, data) for path, data in files]
    assert [each.problems for each in loaded] == [(), ()]
    desired.ensure_node(connection, "seed")
    upserts = [Document(**each.to_row()) for each in loaded]
    desired.apply_documents(
        connection, upserts=upserts, retired=[], revision="r", sequence=1, now=NOW
    )
    settings = {
        "id": "seed",
        "env_id": "local",
        "mode": "active",
        "stage": "dev",
        "egress": [],
        "limits": {},
        "providers": {},
        "labels": [],
        "vars": {},
        "primary": True,
    }
    desired.save_applied(
        connection, revision="r", sequence=1, settings=settings, conditions=[], now=NOW
    )
    return connection


def deliver(connection: Connection, body: bytes, headers: dict[str, str] | None = None) -> Receipt:
    found = desired.find_document(connection, "source", "alertmanager")
    assert found is not None
    headers = HEADERS if headers is None else headers
    secrets = {"env/AM_TOKEN": "am-token"}
    verify(found.document, headers, body, resolve=secrets.get, from_loopback=False, now=NOW)
    mapped = map_delivery(
        found.document,
        Delivery(headers, body),
        env_id="local",
        correlation_id="c",
        now=NOW,
        new_id=uuid.uuid4,
    )
    return Intake(compile_run, Redactor()).take_in(connection, mapped)


def test_each_alert_of_a_group_is_an_event_and_starts_its_run_once(node: Connection) -> None:
    body = json.dumps({"alerts": [alert("DiskFull"), alert("Load")]}).encode()
    more = json.dumps({"alerts": [alert("DiskFull"), alert("DiskSlow")]}).encode()

    first = deliver(node, body)
    repeat = deliver(node, body)
    grown = deliver(node, more)

    assert len(first.event_ids) == 2
    assert len(first.run_ids) == 1
    assert (repeat.event_ids, repeat.duplicate, repeat.run_ids) == (first.event_ids, True, [])
    assert grown.event_ids[0] == first.event_ids[0]
    assert len(grown.run_ids) == 1
    stored = events.get_event(node, first.event_ids[0])
    assert stored is not None
    assert stored.event.event_name == "alertmanager.firing"
    assert stored.event.resource == {"type": "alert", "id": "DiskFull"}


def test_neither_the_token_nor_what_is_redacted_reaches_the_database(node: Connection) -> None:
    told = alert("DiskFull", Authorization="open-sesame")
    deliver(node, json.dumps({"alerts": [told]}).encode())

    for table in ("events", "runs", "steps", "plans"):
        rows = node.execute(text(f"SELECT t::text FROM {table} t")).scalars()  # noqa: S608 - from here
        for row in rows:
            for secret in ("am-token", "ada@example.net", "open-sesame"):
                assert secret not in row
                assert secret.encode().hex() not in row


def test_a_delivery_that_is_not_genuine_leaves_nothing(node: Connection) -> None:
    with pytest.raises(UnverifiedError):
        deliver(node, b'{"alerts": []}', HEADERS | {"authorization": "Bearer wrong"})

    assert node.execute(text("SELECT count(*) FROM events")).scalar_one() == 0


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"alerts": null}',
    b'{"alerts": [null]}',
    b'{"alerts": [{"status": {}, "fingerprint": [], "startsAt": "", "labels": {}}]}',
    b'{"alerts": [{"status": "xyn.run", "fingerprint": 1, "startsAt": 1, "labels": 1}]}',
    b"[" * 100_000,
    b'{"alerts": [' + b"1," * 20_000 + b"1]}",
    b"\xff\xfe",
    json.dumps({"alerts": [alert("\x00\ud800")]}).encode(),
    json.dumps({"alerts": [alert("A" * 100_000)]}).encode(),
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_is_stored_or_refused_and_never_an_error_of_ours(
    node: Connection, body: bytes
) -> None:
    try:
        receipt = deliver(node, body)
    except InvalidError:
        return
    assert all(events.get_event(node, event_id) for event_id in receipt.event_ids)
