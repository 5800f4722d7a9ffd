"""``xynctl audit``."""

import argparse

from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.output import print_list

_COLUMNS = {
    "at": lambda row: row["at"],
    "kind": lambda row: row["kind"],
    "said": lambda row: row["sentence"],
}


def list_entries(options: argparse.Namespace) -> None:
    found = connect(options).items(
        "/audit", limit=options.limit, kind=options.kind, subject=options.subject
    )
    print_list(
        list(found),
        _COLUMNS,
        name="audit_id",
        form=options.output,
        empty="nothing of that is in the audit",
    )
