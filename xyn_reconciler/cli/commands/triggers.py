"""``xynctl schedule`` and ``xynctl source``."""

import argparse

from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.output import print_list

_SCHEDULES = {
    "blueprint": lambda row: row["blueprint_id"],
    "cron": lambda row: row["cron"],
    "timezone": lambda row: row["timezone"],
    "live": lambda row: row["live"],
    "missed": lambda row: row["missed"],
    "next": lambda row: next(iter(row["next_times"]), None),
}
_SOURCES = {
    "source": lambda row: row["source_id"],
    "path": lambda row: row["path"],
    "scheme": lambda row: row["scheme"],
    "accepts": lambda row: row["accepts"],
    "unset": lambda row: ", ".join(row["unset_secrets"]) or None,
}


def list_schedules(options: argparse.Namespace) -> None:
    print_list(
        connect(options).get("/schedules")["items"],
        _SCHEDULES,
        name="blueprint_id",
        form=options.output,
        empty="no active blueprint has a schedule: triggers: [{schedule: {cron: '@daily'}}]",
    )


def list_sources(options: argparse.Namespace) -> None:
    print_list(
        connect(options).get("/sources")["items"],
        _SOURCES,
        name="source_id",
        form=options.output,
        empty="no webhook source is active; push one to main: sources/<name>.yaml",
    )
