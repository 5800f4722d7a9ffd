"""``xynctl action``."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from xyn_reconciler.cli.client import Client, connect, segment
from xyn_reconciler.cli.commands.runs import follow
from xyn_reconciler.cli.output import answer, json_text, print_list, print_one, remark, table
from xyn_reconciler.cli.values import json_object
from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import UnavailableError

_COLUMNS = {
    "action": lambda row: row["name"],
    "here": lambda row: row["installed"],
    "idempotent": lambda row: row["idempotent"],
    "pack": lambda row: row["pack"],
    "summary": lambda row: row["summary"],
}
_FIELD_COLUMNS = {
    "input": lambda row: row["name"],
    "type": lambda row: row["type"],
    "needed": lambda row: row["needed"],
    "meaning": lambda row: row["meaning"],
}
_ERROR_COLUMNS = {"error": lambda row: row["code"], "meaning": lambda row: row["meaning"]}


def list_actions(options: argparse.Namespace) -> None:
    rows = connect(options).get("/actions")["items"]
    print_list(
        rows,
        _COLUMNS,
        name="name",
        form=options.output,
        empty="this node has no actions; look at its log",
    )


def show(options: argparse.Namespace) -> None:
    action = connect(options).get(f"/actions/{segment(options.action)}")
    if options.output != "table":
        print_one(action, name="name", form=options.output)
        return
    long = {"input_schema", "output_schema", "errors"}
    print_one(
        {key: value for key, value in action.items() if key not in long},
        name="name",
        form=options.output,
    )
    errors = [{"code": code, "meaning": text} for code, text in sorted(action["errors"].items())]
    for rows, columns in (
        (list(_fields(action["input_schema"])), _FIELD_COLUMNS),
        (list(_fields(action["output_schema"])), {"output": lambda row: row["name"]} | _OUTPUT),
        (errors, _ERROR_COLUMNS),
    ):
        if rows:
            answer("\n" + table(rows, columns))


def run_one(options: argparse.Namespace) -> int:
    """Run it, print its outputs; on standard error the error shape with its code.

    What it says meanwhile is for a person who watches: a program reads the error alone.
    """
    client = connect(options)
    body: dict[str, Any] = {
        "action": options.action,
        "with": strict_json.loads(json_object(options.given, "--with")),
        "wait_seconds": 0,
    }
    if options.timeout:
        body["timeout"] = options.timeout
    run_id = str(client.post(f"{client.url}/api/internal/actions/execute", body)["run_id"])
    try:
        return _ended(client, follow(client, run_id, told=sys.stderr.isatty()))
    except UnavailableError as error:
        message = f"{error.message}; run {run_id} goes on with it: xynctl run watch {run_id}"
        raise UnavailableError(message) from error
    except KeyboardInterrupt:
        client.post(f"/runs/{run_id}/cancel")
        remark(f"cancelled run {run_id}")
        raise


def _ended(client: Client, run: Mapping[str, Any]) -> int:
    (step,) = [
        step for step in client.get(f"/runs/{run['run_id']}/steps")["items"] if step["key"] == "try"
    ]
    if run["status"] == "completed":
        answer(json_text(step["outputs"]))
        return 0
    error = step["error"] or run["error"]
    if error is None:
        error = {"code": run["status"], "message": f"the run was {run['status']}"}
    shape = {"error": error, "run_id": run["run_id"]}
    remark(json_text(shape))
    return 1


_OUTPUT = {
    "type": lambda row: row["type"],
    "meaning": lambda row: row["meaning"],
}


def _fields(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    needed = schema.get("required", ())
    either = {name for each in schema.get("oneOf", ()) for name in each.get("required", ())}
    for name, rules in (schema.get("properties") or {}).items():
        yield {
            "name": name,
            "type": _type(rules),
            "needed": "one of" if name in either else name in needed,
            "meaning": rules.get("description", ""),
        }


def _type(rules: Mapping[str, Any]) -> str:
    if "enum" in rules:
        return ", ".join(map(str, rules["enum"]))
    kind = rules.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
