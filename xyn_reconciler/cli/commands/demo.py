"""What a newcomer sees at the first start.

A run that ended, one that waits, and what to type next.
"""

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from xyn_reconciler.cli.client import Client, token_of
from xyn_reconciler.cli.output import remark
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.node.home import Home

HELLO: Final = ("bp.demo.hello", "demo.hello", {"name": "night shift"})
APPROVAL: Final = ("bp.demo.approval", "demo.change", {"service": "billing", "change": "restart"})
_SECONDS: Final = 30.0
_CURL_DATA: Final = """-d '{"event_name": "demo.hello", "data": {"name": "you"}}'"""

Say = Callable[[str], None]
Pause = Callable[[float], None]


def show_demo(url: str, home: Path, say: Say, *, emit: bool, pause: Pause) -> None:
    """Emit the demo events where asked for, wait for what they do, and print what to try."""
    client = Client(url, token_of(Home(home)))
    if emit:
        run = _run_of(client, HELLO)
        run = _wait(
            client, run, pause, lambda r: bool(r["record_commit"]) and r["status"] == "completed"
        )
        say(
            f"run {run['run_id']} of {HELLO[0]} completed; "
            f"its record is commit {run['record_commit']}"
        )
        waiting = [g for g in client.items("/gates", limit=200) if g["blueprint_id"] == APPROVAL[0]]
        if waiting:
            run = client.get(f"/runs/{waiting[0]['run_id']}")
        else:
            run = _wait(
                client, _run_of(client, APPROVAL), pause, lambda r: r["status"] == "waiting"
            )
        say(f"run {run['run_id']} of {APPROVAL[0]} waits at its gate")
    xynctl = _xynctl()
    there = f"--home {shlex.quote(str(home))}"
    lines = [
        "",
        "Look:     " + url,
    ]
    if emit:
        lines += [
            f"Approve:  {url}/ui/runs/{run['run_id']}",
            f"      or  {xynctl} gate approve {run['run_id']} approve {there}",
        ]
    lines += [
        f"Clone:    git clone {url}/git/state.git ~/xyn-state",
        "Push:     cd ~/xyn-state && git commit -am 'Change the night shift' && git push",
        f'Emit:     {xynctl} event emit demo.hello --data \'{{"name": "you"}}\' {there}',
        f"      or  curl -sS {url}/api/v1/events -H 'Content-Type: application/json' {_CURL_DATA}",
        "",
    ]
    remark("\n".join(lines))


def _run_of(client: Client, demo: tuple[str, str, dict[str, str]]) -> dict[str, Any]:
    """Emit a demo event and give the run that it started."""
    blueprint_id, event_name, data = demo
    event = client.post("/events", {"event_name": event_name, "data": data})
    for run in client.items("/runs", limit=10, event_id=event["event_id"]):
        if run["blueprint_id"] == blueprint_id:
            return run
    raise UnavailableError(f"{blueprint_id} is not active; {event_name} started nothing")


def _wait(
    client: Client, run: dict[str, Any], pause: Pause, good: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    until = time.monotonic() + _SECONDS
    while not good(run):
        if run["status"] in {"failed", "cancelled"} or time.monotonic() > until:
            raise UnavailableError(f"run {run['run_id']} is {run['status']}")
        pause(0.05)
        run = client.get(f"/runs/{run['run_id']}")
    return run


def _xynctl() -> str:
    """The command as it works when pasted from any folder."""
    beside = Path(sys.executable).with_name("xynctl")
    return shlex.quote(str(beside)) if beside.exists() else "xynctl"
