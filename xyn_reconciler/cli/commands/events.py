"""``xynctl event``."""

import argparse
import json

from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import print_list, print_one, remark
from xyn_reconciler.cli.values import json_object

_COLUMNS = {
    "event": lambda row: row["event_id"],
    "name": lambda row: row["event_name"],
    "at": lambda row: row["created_at"],
    "actor": lambda row: row["actor"],
    "source": lambda row: row["source"],
}


def emit(options: argparse.Namespace) -> None:
    # The data travels as it was written: numbers and order stay what they are.
    data = json_object(options.data, "--data")
    body = f'{{"event_name": {json.dumps(options.name)}, "data": {data}}}'
    headers = {"Content-Type": "application/json"}
    if options.idempotency_key:
        headers["Idempotency-Key"] = options.idempotency_key
    event = connect(options).post_bytes("/events", body.encode(), headers)
    print_one(event, name="event_id", form=options.output)


def list_events(options: argparse.Namespace) -> None:
    client = connect(options)
    rows = client.items(
        "/events", limit=options.limit, event_name=options.event_name, run_id=options.run_id
    )
    print_list(
        list(rows),
        _COLUMNS,
        name="event_id",
        form=options.output,
        empty="no events yet; emit one: xynctl event emit demo.hello",
    )


def show(options: argparse.Namespace) -> None:
    client = connect(options)
    event_id = find_id(client, "events", "event_id", options.event_id)
    print_one(client.get(f"/events/{event_id}"), name="event_id", form=options.output)


def forget(options: argparse.Namespace) -> None:
    client = connect(options)
    event_id = find_id(client, "events", "event_id", options.event_id)
    client.post(f"/events/{event_id}/forget")
    remark(f"forgotten: {event_id}")
