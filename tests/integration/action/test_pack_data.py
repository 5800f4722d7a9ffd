"""Packs' tables on a real Postgres: made, filled, migrated, safe from the SQL that packs bring."""

import datetime as dt
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text

from tests.running import wait_for
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.pack_data import pack_data_actions
from xyn_reconciler.action.pack_lent import ActivePack
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.migrate import migrate
from xyn_reconciler.store.pack_data import schema_name
from xyn_reconciler.store.pack_migrations import role_of

HOSTS: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "state": {"type": "integer"},
        "labels": {"type": "object"},
        "up": {"type": "boolean"},
    },
}
BIG = 12345678901234567890.5
LONG = "".join(hashlib.sha512(bytes([n])).hexdigest() for n in range(200))
"""Too long for an index, also when it is compressed."""


@dataclass
class Packs:
    """What node lends, with packs that a test writes."""

    database: Database
    active: dict[str, ActivePack] = field(default_factory=dict)
    at: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def pack(self, pack_id: str) -> ActivePack | None:
        return self.active.get(pack_id)

    def now(self) -> dt.datetime:
        self.at += dt.timedelta(seconds=1)
        return self.at

    def do(self, action: str, context: ActionContext, pack: str = "shop", **inputs: Any) -> Any:  # noqa: ANN401 - JSON
        actions = {each.spec.name: each for each in pack_data_actions(self)}
        return actions[f"pack.{action}"].run({"pack": pack, **inputs}, context)

    def is_active(
        self, schema: Mapping[str, Any] = HOSTS, key: tuple[str, ...] = ("name",), **steps: str
    ) -> None:
        contract = {"schema": "schemas/hosts.json", "key": [*key]}
        definition = {"id": "shop", "version": "0.1.0", "contracts": {"hosts": contract}}
        files = {f"migrations/{name[1:]}.sql": script for name, script in steps.items()}
        self.active["shop"] = ActivePack(
            definition, {"schemas/hosts.json": json.dumps(schema), **files}
        )

    def ask(self, question: str, **values: object) -> list[Any]:
        with self.database.begin() as connection:
            return [tuple(row) for row in connection.execute(text(question), values)]


@pytest.fixture
def context(attempt: ActionContext) -> ActionContext:
    return attempt


@pytest.fixture
def packs(database: Database) -> Packs:
    with database.begin() as connection:
        desired.ensure_node(connection, "seed")
    made = Packs(database)
    made.is_active()
    return made


def names(found: Mapping[str, Any]) -> list[str]:
    return [row["name"] for row in found["rows"]]


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_written_by_key_and_come_back_as_they_were(
    packs: Packs, context: ActionContext
) -> None:
    packs.do("migrate.apply", context)
    first = {"name": "web-1", "state": 0, "labels": {"x": BIG}, "other": "\u0000"}
    packs.do("rows.upsert", context, table="hosts", rows=[first, {"name": "web-2", "up": True}])
    packs.do("rows.upsert", context, table="hosts", rows=[{"name": "web-1", "state": 2}] * 2)
    packs.do("rows.upsert", context, table="hosts", rows=[first | {"name": "web-3"}])

    all_of_them = packs.do("rows.query", context, table="hosts")
    some = packs.do("rows.query", context, table="hosts", where={"state": [2, None]})
    last = packs.do("rows.query", context, table="hosts", order=["-name"], limit=1)

    assert all_of_them["rows"] == [
        {"name": "web-1", "state": 2},
        {"name": "web-2", "up": True},
        first | {"name": "web-3"},
    ]
    assert names(some) == ["web-1", "web-2"]
    assert (names(last), last["more"]) == (["web-3"], True)
    assert packs.ask("SELECT name, state FROM pack_shop.hosts ORDER BY name")[0] == ("web-1", 2)


def test_replace_takes_out_what_is_not_there_any_more(packs: Packs, context: ActionContext) -> None:
    packs.do("migrate.apply", context)
    rows = [{"name": f"web-{number}"} for number in range(3)]
    packs.do("rows.upsert", context, table="hosts", rows=rows)

    done = packs.do("rows.upsert", context, table="hosts", rows=rows[1:], replace=True)

    assert done == {"written": 2, "removed": 1}
    assert names(packs.do("rows.query", context, table="hosts")) == ["web-1", "web-2"]
    assert packs.do("rows.delete", context, table="hosts", where={"name": "web-1"})["removed"] == 1
    assert packs.do("rows.delete", context, table="hosts", all=True)["removed"] == 1


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": 1},
        {"name": "x", "state": "0"},
        {"name": "x\u0000"},
        {"name": "x", "state": 2**70},
        {"name": LONG},
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_all_others(
    packs: Packs, context: ActionContext, row: dict[str, Any]
) -> None:
    packs.do("migrate.apply", context)

    with pytest.raises(PermanentError) as caught:
        packs.do("rows.upsert", context, table="hosts", rows=[{"name": "good"}, row])

    assert caught.value.failure_code == "bad_row"
    assert packs.do("rows.query", context, table="hosts")["rows"] == []


@pytest.mark.parametrize(
    "asked",
    [
        {"where": {"nme": "x"}},
        {"where": {"state": "1; DROP TABLE runs"}},
        {"where": {"up": 1}},
        {"where": {"labels": {}}},
        {"order": ["name; --"]},
        {"where": {"name": "\u0000"}},
        {"where": {"name": "\ud800"}},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    packs: Packs, context: ActionContext, asked: dict[str, Any]
) -> None:
    packs.do("migrate.apply", context)

    with pytest.raises(PermanentError) as caught:
        packs.do("rows.query", context, table="hosts", **asked)

    assert caught.value.failure_code == "bad_question"


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"pack": "shp", "table": "hosts"}, "pack_not_found"),
        ({"table": "host"}, "table_not_found"),
        ({"table": "hosts"}, "not_migrated"),
    ],
)
def test_what_is_not_there_is_said(
    packs: Packs, context: ActionContext, inputs: dict[str, Any], code: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        packs.do("rows.query", context, **inputs)

    assert caught.value.failure_code == code


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def test_a_contract_that_grows_adds_columns_and_a_version(
    packs: Packs, context: ActionContext
) -> None:
    packs.do("migrate.apply", context)
    packs.do("rows.upsert", context, table="hosts", rows=[{"name": "web-1"}])
    packs.is_active({**HOSTS, "properties": {**HOSTS["properties"], "ip": {"type": "string"}}})

    with pytest.raises(PermanentError, match=r"pack\.migrate\.apply"):
        packs.do("rows.query", context, table="hosts")
    planned = packs.do("migrate.plan", context)
    done = packs.do("migrate.apply", context)

    assert (
        planned
        == done
        == {
            "tables": [{"name": "hosts", "version": 2, "columns": ["ip"]}],
            "migrations": [],
        }
    )
    assert packs.do("migrate.plan", context) == {"tables": [], "migrations": []}
    packs.do("rows.upsert", context, table="hosts", rows=[{"name": "web-1", "ip": "::1"}])
    assert names(packs.do("rows.query", context, table="hosts", where={"ip": "::1"})) == ["web-1"]


@pytest.mark.parametrize(
    ("schema", "key", "code"),
    [
        ({**HOSTS, "properties": {**HOSTS["properties"], "state": {"type": "string"}}}, ("name",),
         "contract_changed"),
        ({**HOSTS, "required": ["name", "state"]}, ("name", "state"), "contract_changed"),
        ({**HOSTS, "required": []}, ("name",), "pack_unusable"),
        (HOSTS, ("labels",), "pack_unusable"),
    ],
)  # fmt: skip
def test_a_contract_that_would_lose_something_is_refused(
    packs: Packs, context: ActionContext, schema: dict[str, Any], key: tuple[str, ...], code: str
) -> None:
    packs.do("migrate.apply", context)
    packs.is_active(schema, key)

    with pytest.raises(PermanentError) as caught:
        packs.do("migrate.apply", context)

    assert caught.value.failure_code == code


# ── migrations ───────────────────────────────────────────────────────────────────────────────────

NAME_TAKEN = "CREATE TABLE hosts (x int)"
NOTES = "CREATE TABLE notes (id int PRIMARY KEY, host text REFERENCES hosts);"


def test_a_row_that_the_packs_own_table_refers_to_stays(
    packs: Packs, context: ActionContext
) -> None:
    packs.is_active(
        _0001_notes=NOTES,
        _0002_row="INSERT INTO hosts (name, _row, _written_at) VALUES ('web-1', '{}', now());"
        " INSERT INTO notes VALUES (1, 'web-1')",
    )
    packs.do("migrate.apply", context)

    for action, code, asked in (
        ("rows.delete", "bad_question", {"all": True}),
        ("rows.upsert", "bad_row", {"rows": [], "replace": True}),
    ):
        with pytest.raises(PermanentError, match="refers to a row") as caught:
            packs.do(action, context, table="hosts", **asked)
        assert caught.value.failure_code == code


def test_a_contract_whose_name_a_migration_took_is_told_so(
    packs: Packs, context: ActionContext
) -> None:
    packs.active["shop"] = ActivePack({"id": "shop"}, {"migrations/0001_a.sql": NAME_TAKEN})
    packs.do("migrate.apply", context)
    packs.is_active(_0001_a=NAME_TAKEN)

    with pytest.raises(PermanentError, match="called hosts: rename one of the two") as caught:
        packs.do("migrate.apply", context)

    assert caught.value.failure_code == "contract_changed"


def test_a_property_called_as_a_column_of_postgres_is_in_the_row_alone(
    packs: Packs, context: ActionContext
) -> None:
    packs.is_active({**HOSTS, "properties": {**HOSTS["properties"], "xmin": {"type": "integer"}}})
    packs.do("migrate.apply", context)
    packs.do("rows.upsert", context, table="hosts", rows=[{"name": "web-1", "xmin": 7}])

    found = packs.do("rows.query", context, table="hosts")["rows"]
    assert found == [{"name": "web-1", "xmin": 7}]
    with pytest.raises(PermanentError, match="no column 'xmin'"):
        packs.do("rows.query", context, table="hosts", where={"xmin": 7})


def test_migrations_run_once_in_their_order_and_the_plan_says_which(
    packs: Packs, context: ActionContext
) -> None:
    packs.is_active(
        _0002_more="-- 100 %\nINSERT INTO notes VALUES (1); INSERT INTO notes VALUES (2, NULL);",
        _0001_notes=NOTES,
    )

    planned = packs.do("migrate.plan", context)
    done = packs.do("migrate.apply", context)
    again = packs.do("migrate.apply", context)

    assert planned == done
    assert done["migrations"] == ["0001_notes.sql", "0002_more.sql"]
    assert again == {"tables": [], "migrations": []}
    assert packs.ask("SELECT id FROM pack_shop.notes ORDER BY id") == [(1,), (2,)]


def test_a_step_that_ran_may_not_become_another(packs: Packs, context: ActionContext) -> None:
    packs.is_active(_0001_notes=NOTES)
    packs.do("migrate.apply", context)
    packs.is_active(_0001_notes=NOTES + " -- edited")

    for action in ("migrate.plan", "migrate.apply"):
        with pytest.raises(PermanentError) as caught:
            packs.do(action, context)
        assert caught.value.failure_code == "migration_changed"

    packs.is_active(_0002_more="SELECT 1")
    with pytest.raises(PermanentError, match="its file is gone"):
        packs.do("migrate.plan", context)


def test_a_step_that_fails_leaves_nothing_and_those_before_it_stay(
    packs: Packs, context: ActionContext
) -> None:
    packs.is_active(_0001_notes=NOTES, _0002_bad="CREATE TABLE half (x int); SELECT 1 / 0")

    with pytest.raises(PermanentError, match=r"0002_bad\.sql: division by zero") as caught:
        packs.do("migrate.apply", context)

    assert caught.value.failure_code == "migration_failed"
    assert packs.do("migrate.plan", context)["migrations"] == ["0002_bad.sql"]
    assert packs.ask("SELECT to_regclass('pack_shop.half')") == [(None,)]
    packs.is_active(_0001_notes=NOTES, _0002_bad="CREATE TABLE half (x int)")
    assert packs.do("migrate.apply", context)["migrations"] == ["0002_bad.sql"]


HOSTILE = {
    "reads xyn's tables": "SELECT * FROM public.runs",
    "writes xyn's tables": "DELETE FROM public.events",
    "forges another's step": "INSERT INTO public.pack_migrations"
    " VALUES ('other', 1, 'x', 'y', 'z')",
    "reads the ledger": "SELECT * FROM public.pack_migrations",
    "resets its role": "RESET ROLE; SELECT * FROM public.runs",
    "takes another role": "SET SESSION AUTHORIZATION xyn",
    "takes core's role": "DO $$ BEGIN EXECUTE format('SET ROLE %I', (SELECT usename FROM pg_user"
    " WHERE usesuper LIMIT 1)); END $$",
    "runs a program": "COPY hosts FROM PROGRAM 'id'",
    "writes a file": "COPY hosts TO '/tmp/pack-was-here'",
    "reads a file": "SELECT pg_read_file('/etc/passwd')",
    "commits": "CREATE TABLE half (x int); COMMIT; SELECT 1 / 0",
    "begins": "BEGIN; CREATE TABLE half (x int)",
    "commits in a block": "CREATE TABLE half (x int); DO $$ BEGIN COMMIT; END $$",
    "rolls back": "ROLLBACK; CREATE TABLE half (x int)",
    "drops its schema": "DROP SCHEMA pack_shop CASCADE",
    "drops a mirror": "DROP TABLE hosts",
    "changes a mirror": "ALTER TABLE hosts ADD COLUMN x int",
    "writes to public": "CREATE TABLE public.mine (x int)",
    "makes a schema": "CREATE SCHEMA mine",
    "makes a role": "CREATE ROLE mine SUPERUSER",
    "raises itself": "DO $$ BEGIN EXECUTE format('ALTER ROLE %I SUPERUSER', current_user); END $$",
    "loads code": "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6',"
    " 'abs'",
    "brings an extension": "CREATE EXTENSION dblink",
    "changes the server": "ALTER SYSTEM SET work_mem = '1GB'",
    "ends sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename IS DISTINCT FROM current_user AND usename IS NOT NULL",
    "reads another pack": "SELECT * FROM pack_other.hosts",
    "reads passwords": "SELECT * FROM pg_authid",
}


def test_a_migration_does_nothing_outside_its_schema(packs: Packs, context: ActionContext) -> None:
    packs.is_active()
    packs.active["other"] = packs.active["shop"]
    packs.do("migrate.apply", context, pack="other")
    packs.do("migrate.apply", context)

    for what, script in HOSTILE.items():
        packs.is_active(_0001_bad=script)
        with pytest.raises(PermanentError) as caught:
            packs.do("migrate.apply", context)
        assert caught.value.failure_code == "migration_failed", what
        assert packs.do("migrate.plan", context)["migrations"] == ["0001_bad.sql"], what
        (found,) = packs.ask("SELECT to_regclass('pack_shop.half'), to_regclass('pack_shop.hosts')")
        assert (found[0], found[1]) == (None, "pack_shop.hosts"), what


def test_its_role_can_log_in_at_no_other_time(packs: Packs, context: ActionContext) -> None:
    packs.is_active(
        _0001_stay="DO $$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD ''known''', current_user);"
        " EXECUTE format('ALTER ROLE %I SET search_path = public', current_user); END $$"
    )
    packs.do("migrate.apply", context)

    found = packs.ask(
        "SELECT rolcanlogin, rolsuper, rolpassword IS NULL FROM pg_authid WHERE rolname LIKE"
        " 'xyn_pack_%' AND rolname = :name",
        name=role_name(packs),
    )

    assert found == [(False, False, True)]
    packs.is_active(
        _0001_stay=packs.active["shop"].files["migrations/0001_stay.sql"], _0002_notes=NOTES
    )
    packs.do("migrate.apply", context)
    assert packs.ask("SELECT count(*) FROM pack_shop.notes") == [(0,)]


def role_name(packs: Packs) -> str:
    with packs.database.begin() as connection:
        return role_of("shop", desired.read_node(connection).database_id).name


def test_a_step_that_takes_too_long_is_ended_though_it_resists(
    packs: Packs, context: ActionContext
) -> None:
    packs.is_active(
        _0001_slow="CREATE TABLE half (x int); SET statement_timeout = 0; DO $$ BEGIN LOOP"
        " BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;"
        " END LOOP; END $$"
    )

    with pytest.raises(TemporaryError) as caught:
        packs.do("migrate.apply", replace(context, deadline=time.monotonic() + 2))

    assert caught.value.failure_code == "timeout"
    assert packs.ask("SELECT to_regclass('pack_shop.half')") == [(None,)]
    assert sessions(packs) == []


def sessions(packs: Packs) -> list[Any]:
    return packs.ask(
        "SELECT pid FROM pg_stat_activity WHERE usename = :name", name=role_name(packs)
    )


def test_a_step_whose_worker_vanished_leaves_nothing_and_runs_again(
    packs: Packs, context: ActionContext
) -> None:
    packs.is_active(_0001_slow="CREATE TABLE half (x int); SELECT pg_sleep(3)")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            packs.do("migrate.apply", context)
        except StepError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    ((pid,),) = wait_for(lambda: sessions(packs))
    packs.ask("SELECT pg_terminate_backend(:pid)", pid=pid)  # as the end of its process does
    thread.join()

    assert len(failed) == 1
    assert packs.do("migrate.plan", context)["migrations"] == ["0001_slow.sql"]
    assert packs.ask("SELECT to_regclass('pack_shop.half')") == [(None,)]
    assert packs.do("migrate.apply", context)["migrations"] == ["0001_slow.sql"]


def test_two_at_once_run_each_step_once(packs: Packs, context: ActionContext) -> None:
    packs.is_active(_0001_notes=NOTES + "SELECT pg_sleep(0.5)")
    done: list[Any] = []
    threads = [
        threading.Thread(target=lambda: done.append(packs.do("migrate.apply", context)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each["migrations"] for each in done) == [[], ["0001_notes.sql"]]


@pytest.fixture(params=[False, True], ids=["without", "with"])
def plain(server_url: str, request: pytest.FixtureRequest) -> Iterator[tuple[Packs, bool]]:
    """A database of a user who is no administrator, who may make roles or not."""
    name, may = f"xyn_plain_{uuid.uuid4().hex[:12]}", bool(request.param)
    word = sql.SQL("CREATEROLE" if may else "NOCREATEROLE")
    given = Database(server_url)
    with psycopg.connect(given.conninfo, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'plain' {}").format(sql.Identifier(name), word)
        )
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*[sql.Identifier(name)] * 2))
    url = make_url(server_url).set(username=name, password="plain", database=name)
    with Database(url.render_as_string(hide_password=False)) as database:
        migrate(database)
        with database.begin() as connection:
            desired.ensure_node(connection, "seed")
        yield Packs(database), may
    with psycopg.connect(given.conninfo, autocommit=True) as admin:
        found = admin.execute(
            "SELECT DISTINCT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole",
            [name],
        ).fetchall()
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for (role,) in [*found, (name,)]:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    given.close()


def test_a_user_who_may_not_make_roles_is_told_and_one_who_may_needs_no_more(
    plain: tuple[Packs, bool], context: ActionContext
) -> None:
    packs, may_make_roles = plain
    packs.is_active()
    packs.do("migrate.apply", context)
    packs.do("rows.upsert", context, table="hosts", rows=[{"name": "web-1"}])
    packs.is_active(_0001_notes=NOTES)

    if may_make_roles:
        packs.do("migrate.apply", context)
        assert packs.ask("SELECT count(*) FROM pack_shop.notes") == [(0,)]
        return
    with pytest.raises(PermanentError, match="CREATEROLE") as caught:
        packs.do("migrate.apply", context)
    assert caught.value.failure_code == "may_not_make_roles"
    assert names(packs.do("rows.query", context, table="hosts")) == ["web-1"]


def test_a_long_name_of_a_pack_has_a_schema_of_its_own() -> None:
    one, other = schema_name("p" * 63 + "a"), schema_name("p" * 63 + "b")

    assert one != other
    assert max(len(one), len(other)) <= 63
