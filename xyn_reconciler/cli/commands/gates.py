"""``xynctl gate``."""

import argparse

from xyn_reconciler.cli.client import Client, segment
from xyn_reconciler.cli.find import find_url
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import print_list, print_one

_COLUMNS = {
    "run": lambda row: row["run_id"],
    "step": lambda row: row["key"],
    "blueprint": lambda row: row["blueprint_id"],
    "since": lambda row: row["requested_at"],
    "from": lambda row: ", ".join(row["from_any_of"]),
}


def list_gates(options: argparse.Namespace) -> None:
    rows = Client(find_url(options.home)).items("/gates", limit=options.limit)
    print_list(
        list(rows),
        _COLUMNS,
        name="step_id",
        form=options.output,
        empty="nothing waits for a person",
    )


def approve(options: argparse.Namespace) -> None:
    _decide(options, "approve")


def reject(options: argparse.Namespace) -> None:
    _decide(options, "reject")


def _decide(options: argparse.Namespace, verb: str) -> None:
    client = Client(find_url(options.home))
    run_id = find_id(client, "runs", "run_id", options.run_id)
    body = {"comment": options.comment} if options.comment else {}
    gate = client.post(f"/runs/{run_id}/gates/{segment(options.step)}/{verb}", body)
    print_one(gate, name="step_id", form=options.output)
