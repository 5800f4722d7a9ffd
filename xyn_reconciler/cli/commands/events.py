"""``xynctl event``."""

import argparse
import json
import sys
from pathlib import Path

from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import print_list, print_one, remark
from xyn_reconciler.model.errors import InvalidError

_COLUMNS = {
    "event": lambda row: row["event_id"],
    "name": lambda row: row["event_name"],
    "at": lambda row: row["created_at"],
    "actor": lambda row: row["actor"],
    "source": lambda row: row["source"],
}


def emit(options: argparse.Namespace) -> None:
    # The data travels as it was written: numbers and order stay what they are.
    body = f'{{"event_name": {json.dumps(options.name)}, "data": {_data(options.data)}}}'
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


def _data(text: str) -> str:
    """Read ``--data``: a JSON object itself, ``@file``, or ``-`` for standard input."""
    place = "--data"
    if text == "-" or text.startswith("@"):
        place = "standard input" if text == "-" else text[1:]
        try:
            raw = sys.stdin.buffer.read() if text == "-" else Path(place).read_bytes()
            text = raw.decode("utf-8-sig")
        except OSError as error:
            raise InvalidError(f"{place} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InvalidError(f"{place} is not text in UTF-8: {error}") from error
    try:
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{place} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InvalidError(f'{place} must be a JSON object, as in \'{{"host": "web-1"}}\'')
    return text


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value (RFC 8259, section 6)")
