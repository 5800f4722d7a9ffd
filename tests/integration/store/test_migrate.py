import pytest
from sqlalchemy import text

from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.migrate import Migration, migrate, own_migrations, pending
from xyn_reconciler.store.tables import Base

COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable
    FROM information_schema.columns
    WHERE table_schema = :schema AND table_name = ANY(:tables)
"""
KEYS = """
    SELECT class.relname, pg_get_constraintdef(constraint_.oid)
    FROM pg_constraint AS constraint_
    JOIN pg_class AS class ON class.oid = constraint_.conrelid
    JOIN pg_namespace AS space ON space.oid = class.relnamespace
    WHERE constraint_.contype = 'p' AND space.nspname = :schema AND class.relname = ANY(:tables)
"""
TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
      AND table_name NOT LIKE 'procrastinate%' AND table_name <> 'schema_migrations'
"""


def test_an_empty_database_and_the_migrations_give_the_tables_of_python(
    connection: Connection,
) -> None:
    tables = {"tables": sorted(Base.metadata.tables)}
    connection.execute(text("CREATE SCHEMA as_python"))
    connection.execute(text("SET LOCAL search_path = as_python"))
    Base.metadata.create_all(connection)

    for question in (COLUMNS, KEYS):
        migrated = connection.execute(text(question), {"schema": "public", **tables}).all()
        as_python = connection.execute(text(question), {"schema": "as_python", **tables}).all()
        assert set(map(tuple, migrated)) ^ set(map(tuple, as_python)) == set()
    assert sorted(connection.execute(text(TABLES)).scalars()) == tables["tables"]


def test_migrating_twice_applies_nothing_the_second_time(database: Database) -> None:
    assert migrate(database) == []


def test_a_database_newer_than_the_program_is_refused(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_future', 'x')")
        )

    with pytest.raises(ConflictError, match="newer than this program: it has 9999_future"):
        migrate(database)


def test_a_database_with_steps_of_a_newer_queue_is_refused(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO schema_migrations VALUES ('procrastinate/99.00.00_01_new', 'x')")
        )

    with pytest.raises(ConflictError, match=r"procrastinate/99\.00\.00_01_new"):
        migrate(database)


def test_an_applied_migration_that_was_edited_is_refused() -> None:
    applied = {"0001_first": Migration("0001_first", "CREATE TABLE a ()").checksum}

    with pytest.raises(ConflictError, match="0001_first was edited"):
        pending(applied, [Migration("0001_first", "CREATE TABLE b ()")])


def test_only_what_is_missing_is_applied_in_the_order_of_numbers() -> None:
    known = [Migration(f"000{number}_x", "SELECT 1") for number in (1, 2, 3)]

    assert pending({known[0].name: known[0].checksum}, known) == known[1:]


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [int(migration.name.split("_")[0]) for migration in own_migrations()]

    assert numbers == list(range(1, len(numbers) + 1))
