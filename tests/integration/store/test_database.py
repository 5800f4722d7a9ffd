import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from xyn_reconciler.model.errors import InvalidError, UnavailableError
from xyn_reconciler.store.database import Connection, Database, Notice, notify
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres


def end_all_other_sessions(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_form_of_url_is_understood(database_url: str, scheme: str) -> None:
    with Database(f"{scheme}://{database_url.split('://', 1)[1]}") as database:
        database.wait_until_ready(5)
        with database.connect() as connection:
            assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"


@pytest.mark.parametrize(
    ("url", "said"), [("mysql://h/d", "begins with mysql"), ("secret pw", "is not a URL")]
)
def test_another_url_is_refused_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(InvalidError, match=said) as caught:
        Database(url)

    assert url not in str(caught.value)


def test_the_password_does_not_show_in_the_repr() -> None:
    assert "hunter2" not in repr(Database("postgresql://me:hunter2@host/db"))


def test_options_of_the_url_go_before_our_own(database_url: str) -> None:
    with (
        Database(f"{database_url}&options=-c%20statement_timeout%3D7s") as database,
        database.connect() as connection,
    ):
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "7s"
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"


def test_an_error_rolls_the_transaction_back(database: Database) -> None:
    def begin_and_fail() -> None:
        with database.begin() as connection:
            connection.execute(text("CREATE TABLE never (n int)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_fail()

    with database.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('never')")).scalar_one() is None


def test_the_databases_own_refusals_stay_what_they_are(connection: Connection) -> None:
    connection.execute(text("CREATE TEMPORARY TABLE one (n int PRIMARY KEY)"))
    connection.execute(text("INSERT INTO one VALUES (1)"))

    with pytest.raises(IntegrityError):
        connection.execute(text("INSERT INTO one VALUES (1)"))


def test_an_error_does_not_repeat_what_was_sent(connection: Connection) -> None:
    with pytest.raises(ProgrammingError) as caught:
        connection.execute(text("SELECT :token FROM nowhere"), {"token": "hunter2"})

    assert "hunter2" not in str(caught.value)


def test_a_session_that_is_cut_off_is_unavailable_once_and_then_mended(
    database: Database, database_url: str
) -> None:
    def lose_the_session() -> None:
        with Database(database_url) as other, database.begin() as connection:
            connection.execute(text("SELECT 1"))
            end_all_other_sessions(other)
            connection.execute(text("SELECT 1"))

    with pytest.raises(UnavailableError):
        lose_the_session()

    with database.begin() as connection:
        assert connection.execute(text("SELECT 2")).scalar_one() == 2


def test_no_server_is_unavailable(tmp_path: Path) -> None:
    nowhere = Database(f"postgresql:///x?host={tmp_path}")

    with pytest.raises(UnavailableError), nowhere.begin():
        pass
    with pytest.raises(UnavailableError):
        nowhere.wait_until_ready(0)
    with pytest.raises(UnavailableError):
        nowhere.advisory_lock("any").acquire()


def test_connections_and_locks_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", tmp_path / "run")
    with Database(server.start()) as database:
        lock = database.advisory_lock("committer")
        with database.begin() as connection:
            connection.execute(text("CREATE TABLE kept AS SELECT 1 AS n"))
        assert lock.acquire()

        server.stop()
        server.start()

        assert not lock.held()
        with database.begin() as connection:
            assert connection.execute(text("SELECT n FROM kept")).scalar_one() == 1
        assert lock.acquire()
        lock.release()
    server.stop()


def test_a_notice_arrives_after_its_commit_and_never_after_a_rollback(database: Database) -> None:
    notices = database.listen(["news", "other"], timeout=10)
    assert next(notices) is None, "listening has begun"

    with database.connect() as connection:
        notify(connection, "news", "rolled back")
        connection.rollback()
        notify(connection, "other", "it's committed")
        connection.commit()

    assert next(notices) == Notice("other", "it's committed")
    notices.close()


def test_a_listener_says_look_for_yourself_when_it_was_cut_off(
    database: Database, database_url: str
) -> None:
    notices = database.listen(["news"], timeout=10)
    assert next(notices) is None
    with Database(database_url) as other:
        end_all_other_sessions(other)

    assert [next(notices), next(notices)] == [None, None], "cut off, then listening again"
    with database.begin() as connection:
        notify(connection, "news", "heard")
    assert next(notices) == Notice("news", "heard")
    notices.close()


def test_a_silent_listener_gives_its_caller_a_turn(database: Database) -> None:
    notices = database.listen(["news"], timeout=0.01)

    assert [next(notices), next(notices), next(notices)] == [None, None, None]
    notices.close()


def test_one_of_two_holds_a_lock_and_the_other_gets_it_next(database: Database) -> None:
    first, second = database.advisory_lock("committer"), database.advisory_lock("committer")

    with first:
        assert first.held()
        assert not second.acquire()
        with database.advisory_lock("reconciler") as another:
            assert another.held()
        waiting = threading.Thread(target=second.acquire, kwargs={"timeout": 10})
        waiting.start()
    waiting.join()

    assert second.held()
    assert not first.held()
    second.release()


def test_a_lock_whose_session_was_cut_off_is_known_to_be_lost(
    database: Database, database_url: str
) -> None:
    lock = database.advisory_lock("committer")
    assert lock.acquire()

    with Database(database_url) as other:
        end_all_other_sessions(other)

    assert not lock.held()
