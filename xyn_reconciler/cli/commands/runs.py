"""``xynctl run``."""

import argparse
import time
from typing import Any, Final

from xyn_reconciler.cli.client import Client, connect, segment
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import (
    answer,
    json_text,
    passed_on,
    print_list,
    print_one,
    remark,
    table,
)
from xyn_reconciler.cli.values import typed
from xyn_reconciler.model.run import RunStatus

_RUN_COLUMNS = {
    "run": lambda row: row["run_id"],
    "blueprint": lambda row: row["blueprint_id"],
    "status": lambda row: row["status"],
    "created": lambda row: row["created_at"],
    "name": lambda row: row["name"],
}
_STEP_COLUMNS = {
    "step": lambda row: row["key"],
    "kind": lambda row: row["kind"],
    "status": lambda row: row["status"],
    "attempt": lambda row: row["attempt"],
    "error": lambda row: (row["error"] or {}).get("code"),
}
_POLL_SECONDS: Final = 0.25


def start(options: argparse.Namespace) -> None:
    client = connect(options)
    blueprint = client.get(f"/blueprints/{segment(options.blueprint)}")
    body = {
        "blueprint_ref": options.blueprint,
        "inputs": {
            name: typed(blueprint["inputs"], name, text, of="blueprint", kind="input")
            for name, text in options.inputs
        },
    }
    if options.name:
        body["name"] = options.name
    print_one(client.post("/runs", body), name="run_id", form=options.output)


def list_runs(options: argparse.Namespace) -> None:
    rows = connect(options).items(
        "/runs", limit=options.limit, status=options.status, blueprint_id=options.blueprint
    )
    print_list(
        list(rows),
        _RUN_COLUMNS,
        name="run_id",
        form=options.output,
        empty="no runs yet; start one: xynctl run start bp.demo.hello",
    )


def show(options: argparse.Namespace) -> None:
    client = connect(options)
    run_id = find_id(client, "runs", "run_id", options.run_id)
    run = client.get(f"/runs/{run_id}")
    steps = client.get(f"/runs/{run_id}/steps")["items"]
    if options.output == "json":
        answer(json_text({**run, "steps": steps}))
        return
    print_one(run, name="run_id", form=options.output)
    if options.output == "table":
        answer("\n" + table(steps, _STEP_COLUMNS))
        _hint(run_id, run, steps)


def cancel(options: argparse.Namespace) -> None:
    client = connect(options)
    run_id = find_id(client, "runs", "run_id", options.run_id)
    print_one(client.post(f"/runs/{run_id}/cancel"), name="run_id", form=options.output)


def rerun(options: argparse.Namespace) -> None:
    client = connect(options)
    run_id = find_id(client, "runs", "run_id", options.run_id)
    body = {
        "from_step": options.from_step,
        "revision": options.revision,
        "fresh": options.fresh,
    }
    run = client.post(f"/runs/{run_id}/rerun", body)
    remark(f"runs again at revision {run['revision']}")
    print_one(run, name="run_id", form=options.output)


def resolve(options: argparse.Namespace) -> None:
    client = connect(options)
    run_id = find_id(client, "runs", "run_id", options.run_id)
    step = client.post(
        f"/runs/{run_id}/steps/{segment(options.step)}/resolve", {"resolution": options.resolution}
    )
    print_one(step, name="step_id", form=options.output)


def watch(options: argparse.Namespace) -> int:
    """Follow a run; 0 when it completed, 1 when it failed or was cancelled."""
    client = connect(options)
    run = follow(client, find_id(client, "runs", "run_id", options.run_id))
    print_one(run, name="run_id", form=options.output)
    return 0 if run["status"] == "completed" else 1


def follow(client: Client, run_id: str, *, told: bool = True) -> dict[str, Any]:
    """Wait for the end of a run, and give it; ``told``: say on standard error what goes on."""
    seen: dict[str, str] = {}
    said: dict[str, int] = {}
    hinted = False
    while True:
        run = client.get(f"/runs/{run_id}")
        steps = client.get(f"/runs/{run_id}/steps")["items"]
        for step in steps if told else ():
            if step["status"] != "created" and seen.get(step["key"]) != step["status"]:
                seen[step["key"]] = step["status"]
                remark(f"{step['key']}: {step['status']}")
            if step["status"] == "running":
                _say(client.get(f"/runs/{run_id}/steps/{step['step_id']}/live")["items"], said)
        if RunStatus(run["status"]).ended:
            return dict(run)
        if run["status"] == "waiting" and not hinted:
            _hint(run_id, run, steps)
            hinted = True
        time.sleep(_POLL_SECONDS)


def _say(items: list[dict[str, Any]], said: dict[str, int]) -> None:
    """Pass on what attempts have said since; ``said``: how far each was heard, by its id."""
    for item in items:
        heard = max(said.get(item["attempt_id"], 0), item["start"])
        said[item["attempt_id"]] = item["start"] + len(item["text"])
        passed_on(item["text"][heard - item["start"] :])


def _hint(run_id: str, run: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """Name the command that lets a waiting run go on."""
    for step in steps:
        if run["status"] == "waiting" and step["status"] == "interrupted":
            remark(f"asks a person: xynctl run resolve {run_id} {step['key']} retry|done|fail")
        if run["status"] == "waiting" and step["kind"] == "gate" and step["status"] == "waiting":
            remark(f"waits for a person: xynctl gate approve {run_id} {step['key']}")
