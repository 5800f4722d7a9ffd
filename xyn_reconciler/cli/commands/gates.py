"""``xynctl gate``."""

import argparse
from typing import Any

from xyn_reconciler.cli.client import Client, connect, segment
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import answer, json_text, print_list, print_one
from xyn_reconciler.cli.values import typed

_COLUMNS = {
    "run": lambda row: row["run_id"],
    "step": lambda row: row["key"],
    "blueprint": lambda row: row["blueprint_id"],
    "since": lambda row: row["requested_at"],
    "from": lambda row: ", ".join(row["from_any_of"]),
}


def list_gates(options: argparse.Namespace) -> None:
    rows = connect(options).items("/gates", limit=options.limit)
    print_list(
        list(rows),
        _COLUMNS,
        name="step_id",
        form=options.output,
        empty="nothing waits for a person",
    )


def show(options: argparse.Namespace) -> None:
    """Print what exactly an approval lets through, beside who is asked."""
    gate = _get(connect(options), options)
    if options.output != "table":
        print_one(gate, name="step_id", form=options.output)
        return
    effect = gate.pop("effect")
    print_one(gate, name="step_id", form=options.output)
    answer("\nlets through, of " + str(effect.get("path")) + ":")
    answer(json_text(effect.get("steps")))


def approve(options: argparse.Namespace) -> None:
    _decide(options, "approve")


def reject(options: argparse.Namespace) -> None:
    _decide(options, "reject")


def _get(client: Client, options: argparse.Namespace) -> dict[str, Any]:
    run_id = find_id(client, "runs", "run_id", options.run_id)
    gate: dict[str, Any] = client.get(f"/runs/{run_id}/gates/{segment(options.step)}")
    return gate


def _decide(options: argparse.Namespace, verb: str) -> None:
    client = connect(options)
    body: dict[str, Any] = {"comment": options.comment} if options.comment else {}
    if options.digest:
        body["effect_digest"] = options.digest
    if options.fields:
        schemas = _get(client, options)["form"] or {}
        body["form"] = {
            name: typed(schemas, name, text, of="gate", kind="field")
            for name, text in options.fields
        }
    run_id = find_id(client, "runs", "run_id", options.run_id)
    gate = client.post(f"/runs/{run_id}/gates/{segment(options.step)}/{verb}", body)
    print_one(gate, name="step_id", form=options.output)
