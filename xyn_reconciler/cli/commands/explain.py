"""``xynctl explain``."""

import argparse

from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import Row, answer, json_text, print_list


def _why(row: Row) -> str:
    """The run first: a table cuts what is long."""
    run = f"run {row['run_id']}" if row["run_id"] else ""
    if row["outcome"] == "started":
        return run
    return f"{run}: {row['reason']}" if run else str(row["reason"])


_COLUMNS = {
    "blueprint": lambda row: row["blueprint_id"],
    "outcome": lambda row: row["outcome"],
    "condition": lambda row: row["condition"],
    "expected": lambda row: row["expected"],
    "found": lambda row: row["found"],
    "why": _why,
}


def event(options: argparse.Namespace) -> None:
    """Print what came of an event: the whole answer as JSON, or a line for each blueprint."""
    client = connect(options)
    event_id = find_id(client, "events", "event_id", options.event_id)
    found = client.get(f"/events/{event_id}/explain")
    if options.output == "json":
        answer(json_text(found))
        return
    print_list(
        found["items"],
        _COLUMNS,
        name="blueprint_id",
        form=options.output,
        empty="no blueprint is active; push one to main: blueprints/<name>.yaml",
    )
