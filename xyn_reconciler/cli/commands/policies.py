"""``xynctl policy``."""

import argparse
from typing import Any

from xyn_reconciler.cli.client import connect, segment
from xyn_reconciler.cli.output import answer, paint, print_one


def evaluate(options: argparse.Namespace) -> None:
    """Print the decision, the rule that decided, and why the others did not."""
    names = ("actor", "action", "stage", "resource_type", "risk")
    asked = {name: getattr(options, name) for name in names}
    found = connect(options).post(
        "/policy/eval", {name: value for name, value in asked.items() if value is not None}
    )
    if options.output == "table":
        answer("\n".join(_lines(found)))
    else:
        print_one(found, name="outcome", form=options.output)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [paint(found["outcome"].replace("_", " ")), found["sentence"]]
    if found["outcome"] == "needs_approval":
        lines += [f"missing: {each}" for each in found["unmet"]]
    for policy in found["policies"]:
        lines += ["", f"{policy['name']} ({policy['policy_id']} at {policy['version'][:12]})"]
        for rule in policy["rules"]:
            decides = rule["rule_id"] == found["rule_id"]
            why = "it decides" if decides else rule["why"]
            lines.append(f"  {rule['rule_id']}  {rule['effect']:<16}  {why}")
    return lines


def break_glass(options: argparse.Namespace) -> None:
    grant = connect(options).post("/policy/break-glass", {"reason": options.reason})
    print_one(grant, name="grant_id", form=options.output)


def sign_off(options: argparse.Namespace) -> None:
    grant = connect(options).post(f"/policy/break-glass/{segment(options.grant_id)}/sign-off")
    print_one(grant, name="grant_id", form=options.output)
