"""``xynctl backtest``."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from xyn_reconciler.cli.client import connect, segment
from xyn_reconciler.cli.output import answer, json_text, print_list, remark

_COLUMNS = {
    "outcome": lambda row: row["outcome"],
    "blueprint": lambda row: row["blueprint_id"],
    "event": lambda row: row["event"]["event_id"],
    "name": lambda row: row["event"]["event_name"],
    "draft": lambda row: (row.get("draft") or {}).get("status"),
    "what": lambda row: "; ".join(row.get("differences") or ()),
}


def backtest(options: argparse.Namespace) -> None:
    """Print what would be other than it was; Ctrl-C cancels it at the node, too."""
    client = connect(options)
    body = {"since": options.since, "blueprint": options.blueprint}
    found: Mapping[str, Any] = {}
    shows = sys.stderr.isatty()
    for told in client.lines(f"/drafts/{segment(options.draft)}/backtest", body):
        if "progress" in told and shows:
            sys.stderr.write(f"\r{told['progress']} events")
            sys.stderr.flush()
        found = told.get("result", found)
    if shows:
        sys.stderr.write("\r\x1b[K")
    report = found["report"]
    if options.output == "json":
        answer(json_text(found))
        return
    different = [row for row in report["rows"] if row["outcome"] != "same"]
    rows = [{**row, "event_id": row["event"]["event_id"]} for row in different]
    print_list(rows, _COLUMNS, name="event_id", form=options.output, empty="nothing is different")
    if options.output == "table":
        _remarks(report)


def _remarks(report: Mapping[str, Any]) -> None:
    counts, left = report["counts"], sum(report["left_out"].values())
    told = ", ".join(f"{counts[each]} {each}" for each in ("same", "changed", "gained", "lost"))
    remark(f"{report['events']} events: {told}")
    if report["unknown"]:
        remark(f"of {report['unknown']} nobody knows the end: it was never asked what it would ask")
    if left:
        remark(f"{left} more are counted and not listed")
    for each in report["unresolved"]:
        where = f"step {each['step']}" if each["step"] else "the run"
        remark(f"{each['blueprint_id']}, {where}: {each['message']} ({each['events']} events)")
    for each in report["policies"]:
        remark(f"{each['blueprint_id']}: {each['sentence']} ({each['events']} events)")
