"""What the last guard replaced is told: by a condition that names the place, and in the audit."""

import datetime as dt
import threading

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.record.guard import tell_caught
from xyn_reconciler.store import audit, desired
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.together import AuditTogether

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
PLACE = "run 0198: steps[0].outputs.body"


def test_a_catch_is_a_condition_that_names_the_place_and_an_entry_of_the_audit(
    connection: Connection,
) -> None:
    desired.ensure_node(connection, "seed")

    tell_caught(connection, [PLACE], NOW)
    tell_caught(connection, [], NOW)

    (condition,) = [
        each for each in desired.read_node(connection).conditions if each.type == "SecretCaught"
    ]
    assert condition.status
    assert PLACE in condition.message
    (entry,) = audit.list_entries(connection, limit=10)
    assert (entry.kind, entry.subject) == ("secret.caught", PLACE)


def test_notes_of_many_threads_are_all_there_when_each_goes_on(database: Database) -> None:
    together = AuditTogether(database)
    missing: list[str] = []

    def note(number: int) -> None:
        subject = f"env/KEY_{number}"
        together.put([AuditEntry(kind="secret.used", actor="ada", at=NOW, subject=subject)])
        with database.read() as connection:
            found = {each.subject for each in audit.list_entries(connection, limit=100)}
        if subject not in found:
            missing.append(subject)

    threads = [threading.Thread(target=note, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert missing == []
