"""``xynctl secret``: values come from a prompt or from stdin, and leave as ciphertext alone."""

import argparse
import datetime as dt
import getpass
import sys
from pathlib import Path
from typing import Any

from xyn_reconciler.cli.client import Client, connect
from xyn_reconciler.cli.find import find_node
from xyn_reconciler.cli.output import answer, print_list, print_one, remark
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError, XynError
from xyn_reconciler.model.secret import MAX_VALUE_BYTES, is_path

_COLUMNS = {
    "secret": lambda row: row["reference"],
    "here": lambda row: "yes" if row["readable"] else "shut" if row["there"] else "missing",
    "used by": lambda row: ", ".join(f"{user['kind']} {user['id']}" for user in row["used_by"]),
    "opened by": lambda row: ", ".join(row["recipients"]),
    "set": lambda row: row["created_at"],
}


def set_secret(options: argparse.Namespace) -> None:
    """Encrypt a value and commit it; one that is there is replaced."""
    _refuse_values(options)
    client = connect(options)
    _put(client, options, _sealed(client, options.path))


def rotate(options: argparse.Namespace) -> None:
    """Replace a value that is there, and say who uses it."""
    _refuse_values(options)
    client = connect(options)
    found = _found(client, options.path)
    if not found["there"]:
        raise NotFoundError(f"there is no secret {options.path}: xynctl secret set {options.path}")
    _put(client, options, _sealed(client, options.path))
    for user in found["used_by"]:
        remark(f"used by {user['kind']} {user['id']}, with the new value from now on")


def remove(options: argparse.Namespace) -> None:
    client = connect(options)
    found = _found(client, options.path)
    if found["used_by"] and not options.force:
        users = ", ".join(user["id"] for user in found["used_by"])
        raise ConflictError(f"{options.path} is used by {users}: --force removes it all the same")
    _put(client, options, None)


def list_secrets(options: argparse.Namespace) -> None:
    rows = connect(options).get("/secrets")["items"]
    print_list(
        rows,
        _COLUMNS,
        name="reference",
        form=options.output,
        empty="there are no secrets, and nothing names one: xynctl secret set PATH",
    )
    if options.output != "table":
        return
    for row in rows:
        if row["reason"] and row["there"]:
            remark(row["reason"])
    if not all(row["there"] for row in rows):
        remark("what is missing: xynctl secret set PATH; env/NAME is set where the node runs")


def who_uses(options: argparse.Namespace) -> None:
    found = _found(connect(options), options.path)
    print_list(
        found["used_by"],
        {
            "kind": lambda row: row["kind"],
            "id": lambda row: row["id"],
            "file": lambda row: row["path"],
        },
        name="path",
        form=options.output,
        empty=f"nothing names {options.path}",
    )


def rekey(options: argparse.Namespace) -> int:
    """Encrypt to the nodes of now; name the values that others can still know.

    1 where some could not be opened.
    """
    from xyn_reconciler.store.age_files import open_sealed, seal

    client = connect(options)
    key = _key(options)
    now_for = _recipients(client)
    changes, shut, leaked = dict[str, str](), dict[str, str](), list[str]()
    for path, text in sorted(client.get("/secrets/files")["files"].items()):
        try:
            found = open_sealed(path, text, [key])
        except XynError as error:
            shut[path] = error.message
            continue
        if set(found.recipients) != set(now_for):
            changes[path] = seal(path, found.value, now_for, dt.datetime.now(dt.UTC))
        if set(found.recipients) - set(now_for):
            leaked.append(path)
    # First: once it is done, nothing knows them any more.
    for path in leaked:
        answer(f"rotate {path}: one who is gone could open it")
    if changes:
        print_one(client.post("/secrets", {"changes": changes}), name="commit", form=options.output)
    remark(f"{len(changes)} secrets encrypted anew, to {len(now_for)} recipients")
    for message in shut.values():
        remark(message)
    return 1 if shut else 0


def _put(client: Client, options: argparse.Namespace, sealed: str | None) -> None:
    done = client.post("/secrets", {"changes": {options.path: sealed}})
    if done["draft"]:
        remark(f"{done['message']}; it waits as a draft: xynctl review show {done['draft']}")
    elif not done["applied"]:
        remark(done["message"])
    print_one(done, name="commit", form=options.output)


def _sealed(client: Client, path: str) -> str:
    if not is_path(path):
        raise InvalidError(
            f"{path!r} is no path of a secret: sys/<env_id>/<kind>/<name>, team/<team_id>/<name>"
            " or user/<principal_id>/<name>"
        )
    # Asked for first: nobody types a value for nothing.
    whom = _recipients(client)
    value = _value(path)
    from xyn_reconciler.store.age_files import seal

    return seal(path, value, whom, dt.datetime.now(dt.UTC))


def _refuse_values(options: argparse.Namespace) -> None:
    if options.value:
        raise InvalidError(
            "a value is no argument: other users see those, and your shell keeps them (change this"
            " one). Type it when asked, or give it on stdin:"
            f" xynctl secret {options.verb} {options.path} < FILE"
        )


def _value(path: str) -> str:
    """Ask without an echo, twice; or read stdin to its end.

    The line break that ends one line is not part of it; a text of several lines is kept whole.
    """
    if sys.stdin.isatty():
        value = getpass.getpass(f"value of {path} (not shown): ")
        if getpass.getpass("again: ") != value:
            raise InvalidError("the two are not the same: nothing was changed")
    else:
        data = sys.stdin.buffer.read(MAX_VALUE_BYTES + 2)
        try:
            value = data.decode()
        except UnicodeDecodeError as error:
            raise InvalidError(
                "a secret is text in UTF-8: encode other bytes, as base64"
            ) from error
        lines = value.splitlines()
        value = lines[0] if len(lines) == 1 else value
    if not value:
        raise InvalidError("the value is empty: nothing was changed")
    return value


def _recipients(client: Client) -> list[str]:
    found = client.get("/secrets/recipients")
    whom = [*found["nodes"].values(), *found["break_glass"]]
    if not whom:
        raise ConflictError(
            "no node's definition has a recipient, so nobody could open it: put the line that"
            " xynctl secret recipient prints into node.yaml"
        )
    return sorted(set(whom))


def recipient(options: argparse.Namespace) -> None:
    """Print the line for this node's definition; the home is given a key where it has none."""
    from xyn_reconciler.node.age_key import ensure_age_key

    home = find_node(options.home).home
    if home is None:
        raise NotFoundError("the node's home is not on this machine: run this where it is")
    answer(f"recipient: {ensure_age_key(home)[0]}")


def _key(options: argparse.Namespace) -> str:
    from xyn_reconciler.store.age_files import read_key

    if options.identity:
        file = Path(options.identity)
    else:
        home = find_node(options.home).home
        if home is None:
            raise NotFoundError(
                "rekey opens every secret: run it where the node's home is, or give"
                " --identity FILE, a key that opens them"
            )
        file = home.age_key
    key = read_key(file)
    if key is None:
        raise NotFoundError(f"there is no key {file}")
    return key


def _found(client: Client, path: str) -> dict[str, Any]:
    rows = client.get("/secrets")["items"]
    found: dict[str, Any] | None = next((row for row in rows if row["reference"] == path), None)
    if found is None:
        raise NotFoundError(f"there is no secret {path}, and nothing names it")
    return found
