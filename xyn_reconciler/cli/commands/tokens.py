"""``xynctl token``."""

import argparse

from xyn_reconciler.cli.client import connect, segment
from xyn_reconciler.cli.output import answer, print_list, print_one

_COLUMNS = {
    "token": lambda row: row["token_id"],
    "principal": lambda row: row["principal"],
    "holds": lambda row: row["holds"],
    "created": lambda row: row["created_at"],
    "expires": lambda row: row["expires_at"],
    "revoked": lambda row: row["revoked_at"],
}


def create(options: argparse.Namespace) -> None:
    """Print the token alone: it is told this once."""
    asked = {"principal": options.principal, "expires": options.expires}
    made = connect(options).post("/tokens", asked)
    if options.output == "json":
        print_one(made, name="token", form="json")
    else:
        answer(made["token"])


def list_tokens(options: argparse.Namespace) -> None:
    rows = connect(options).get("/tokens")["items"]
    print_list(
        rows,
        _COLUMNS,
        name="token_id",
        form=options.output,
        empty="there are no tokens; make one: xynctl token create PRINCIPAL",
    )


def revoke(options: argparse.Namespace) -> None:
    revoked = connect(options).delete(f"/tokens/{segment(options.token_id)}")
    print_one(revoked, name="token_id", form=options.output)
