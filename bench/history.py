"""Give a node a long history quickly: what really ran, copied in rows and in records.

A copy has ids and moments of its own and is the original in all else, so its
rows and its records agree. Both name copies alike: the id of copy 7 is the MD5
of ``<id>:7``. Nothing else may write to the node meanwhile.
"""

import datetime as dt
import hashlib
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from bench.node import Node
from xyn_reconciler.store.git import Repository

_TABLES: Final = ("events", "runs", "steps", "attempts", "gates", "artifacts", "footprints")
"""In the order in which they refer to one another."""

_COLUMNS: Final = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position
"""
_OF_RUNS: Final[dict[str, LiteralString]] = {
    "events": "run_id IN (SELECT run_id FROM runs WHERE blueprint_id = %(blueprint)s)"
    " OR event_id IN (SELECT event_id FROM runs WHERE blueprint_id = %(blueprint)s)",
    "runs": "blueprint_id = %(blueprint)s",
    "attempts": "step_id IN (SELECT step_id FROM steps WHERE run_id IN"
    " (SELECT run_id FROM runs WHERE blueprint_id = %(blueprint)s))",
}
_OF_A_RUN: Final = "run_id IN (SELECT run_id FROM runs WHERE blueprint_id = %(blueprint)s)"
_UUID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GAP: Final = dt.timedelta(minutes=2)
"""So much earlier is each copy than the one before."""


@dataclass(frozen=True, slots=True)
class History:
    """What a node has behind it."""

    runs: int
    events: int
    commits: int
    git_mib: float

    def __str__(self) -> str:
        return (
            f"{self.runs:,} runs and {self.events:,} events in the database,"
            f" {self.commits:,} record commits in Git ({self.git_mib:.0f} MiB)"
        )


def read_history(node: Node) -> History:
    with node.database() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM events)"
        ).fetchone()
    assert row is not None, "counts are always one row"
    commits = sum(int(_git(node, "rev-list", "--count", ref)) for ref in _months(node))
    size = sum(
        file.stat().st_size for file in (node.home / "state.git").rglob("*") if file.is_file()
    )
    return History(row[0], row[1], commits, size / 2**20)


def copy_history(node: Node, copies: int) -> None:
    """Copy everything that has ended so often, in rows and in records."""
    with node.database() as connection:
        _copy_rows(connection, copies, gap=_GAP)
    for ref in _months(node):
        _copy_records(node, ref, copies)


def copy_waiting(node: Node, blueprint: str, copies: int) -> None:
    """Copy the rows of a blueprint's runs as they wait, each so often."""
    with node.database() as connection:
        _copy_rows(connection, copies, blueprint=blueprint)


def drop_runs(node: Node, blueprint: str) -> None:
    """Take a blueprint's runs out again, and what they hold."""
    with node.database() as connection:
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            # Runs last, and attempts before steps: they are what the others are found by.
            for table in (
                "gates",
                "attempts",
                "steps",
                "artifacts",
                "footprints",
                "events",
                "runs",
            ):
                delete = sql.SQL("DELETE FROM {} WHERE ").format(sql.Identifier(table))
                connection.execute(delete + _where(table), {"blueprint": blueprint})
        _tidy(connection)


def _copy_rows(
    connection: psycopg.Connection,
    copies: int,
    *,
    blueprint: str | None = None,
    gap: dt.timedelta = dt.timedelta(),
) -> None:
    with connection.transaction():
        # Nothing needs checking: a copy refers to copies as its original does to originals.
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in _TABLES:
            where = sql.SQL("TRUE") if blueprint is None else _where(table)
            connection.execute(
                _copy_statement(connection, table, where),
                {"copies": copies, "gap": gap, "blueprint": blueprint},
            )
    _tidy(connection)


def _copy_statement(connection: psycopg.Connection, table: str, where: sql.SQL) -> sql.Composed:
    columns = connection.execute(_COLUMNS, (table,)).fetchall()
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {values} FROM"
        " (SELECT * FROM {table} WHERE {where}) AS original,"
        " generate_series(1, %(copies)s) AS copy"
    ).format(
        table=sql.Identifier(table),
        where=where,
        names=sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
        values=sql.SQL(", ").join(_copied(name, kind) for name, kind in columns),
    )


def _where(table: str) -> sql.SQL:
    """What belongs to the runs of a blueprint."""
    return sql.SQL(_OF_RUNS.get(table, _OF_A_RUN))


def _copied(name: str, kind: str) -> sql.Composable:
    column = sql.Identifier(name)
    if kind == "uuid":
        return sql.SQL("md5({}::text || ':' || copy)::uuid").format(column)
    if kind == "timestamp with time zone":
        return sql.SQL("{} - copy * %(gap)s::interval").format(column)
    if name == "delivery_id":
        return sql.SQL("{} || ':' || copy").format(column)
    return column


def _tidy(connection: psycopg.Connection) -> None:
    """Do now what would otherwise be done while something is measured."""
    for table in _TABLES:
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
    connection.execute("CHECKPOINT")


def _months(node: Node) -> list[str]:
    return _git(node, "for-each-ref", "--format=%(refname)", "refs/xyn/runs/").split()


def _copy_records(node: Node, ref: str, copies: int) -> None:
    """Append to a month, for each of its commits, one with the same files of other ids."""
    repository = Repository(node.home / "state.git")
    tip = repository.resolve(ref)
    assert tip is not None, "the ref was listed"
    originals = []
    for commit in _git(node, "rev-list", "--reverse", tip).split():
        found = repository.commit(commit)
        changes = repository.changes(found.parents[0] if found.parents else None, commit)
        files = {
            change.text: repository.read(change.new_blob)
            for change in changes
            if change.text is not None and change.new_blob is not None
        }
        originals.append((found.message, files))
    with subprocess.Popen(
        ["git", "-C", str(node.home / "state.git"), "fast-import", "--quiet"],
        stdin=subprocess.PIPE,
    ) as importer:
        assert importer.stdin is not None, "it was asked for"
        for line in _stream(ref, tip, originals, copies):
            importer.stdin.write(line)
    if importer.returncode:
        raise RuntimeError(f"git fast-import ended with {importer.returncode}")


def _stream(
    ref: str, tip: str, originals: list[tuple[str, dict[str, bytes]]], copies: int
) -> Iterator[bytes]:
    now = int(dt.datetime.now(dt.UTC).timestamp())
    parent = f"from {tip}\n".encode()
    for copy in range(1, copies + 1):
        known: dict[bytes, bytes] = {}
        for message, files in originals:
            places = {path: _copied_path(path, copy) for path in files}
            text = _with_other_ids(message.encode(), copy, known)
            for old, new in places.items():
                text = text.replace(old.encode(), new.encode())
            yield (
                f"commit {ref}\ncommitter Xyn <xyn@localhost> {now} +0000\n".encode()
                + b"data %d\n%s\n" % (len(text), text)
                + parent
            )
            parent = b""
            for path, content in files.items():
                copied = _with_other_ids(content, copy, known)
                yield f"M 100644 inline {places[path]}\ndata {len(copied)}\n".encode()
                yield copied + b"\n"


def _copied_path(path: str, copy: int) -> str:
    """A folder of its own: ``DD/HH/MM/SS/name.jsonl`` some minutes earlier, as copies are."""
    day, hour, minute, second, name = path.split("/")
    moment = dt.datetime(2000, 1, int(day), int(hour), int(minute), int(second), tzinfo=dt.UTC)
    stem, _, endings = name.partition(".")
    return f"{moment - copy * _GAP:%d/%H/%M/%S}/{stem}-{copy}.{endings}"


def _with_other_ids(content: bytes, copy: int, known: dict[bytes, bytes]) -> bytes:
    def other(found: re.Match[bytes]) -> bytes:
        old = found.group()
        if old not in known:
            digest = hashlib.md5(b"%s:%d" % (old, copy), usedforsecurity=False).digest()
            known[old] = str(uuid.UUID(bytes=digest)).encode()
        return known[old]

    return _UUID.sub(other, content)


def _git(node: Node, *arguments: str) -> str:
    command = ["git", "-C", str(node.home / "state.git"), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout
