"""The audit, and the reviews and grants that are told by it, after a lost database."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.record.record_world import World
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.node.clone import clone
from xyn_reconciler.record.read import DamagedRecordError
from xyn_reconciler.store import audit, grants, review_rebuild, reviews
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository

NewDatabase = Callable[[], Database]

HEAD, NEXT, MERGED = "a" * 40, "b" * 40, "c" * 40
EFFECT = "e" * 64


def a_life(world: World) -> None:
    """One review is promoted, one is open, and somebody broke the glass."""
    draft, other = (str(reviews.draft_id(name, 0)) for name in ("night", "day"))
    vote, grant = str(uuid.uuid4()), str(uuid.uuid4())
    story: list[AuditEntry] = []

    def tell(kind: str, subject: str, /, by: str = "ada", **entry: object) -> None:
        story.append(world.decide(kind, subject, by=by, **entry))

    tell("ref.accepted", "refs/heads/draft/night", old=None, new=HEAD, how="push")
    tell("review.opened", draft, name="night", kind="blueprint", head=HEAD, iteration=1, notes="é")
    tell("review.updated", draft, head=NEXT, iteration=2)
    tell("review.commented", draft, by="bob", comment_id=str(uuid.uuid4()), iteration=2, text="ok?")
    tell("review.approved", draft, by="bob", decision_id=vote, iteration=2, effect_digest=EFFECT)
    tell("review.promoted", draft, name="night", head=NEXT, commit=MERGED, approvals=[vote])
    tell("review.opened", other, name="day", kind="pack", head=HEAD, iteration=1)
    expires = "2026-11-22T12:15:00.000000Z"
    tell(grants.OPENED, grant, principal="ada", role="Operator", reason="fire", expires_at=expires)
    tell(grants.SIGNED_OFF, grant, by="bob")
    with world.database.begin() as connection:
        review_rebuild.put_back(connection, story)
        grants.put_back(connection, story)


def test_the_audit_reviews_and_grants_are_what_they_were(
    world: World, new_database: NewDatabase
) -> None:
    a_life(world)
    world.committer.drain()
    before = world.digests()

    done = world.rebuild_into(new_database())

    assert world.digests() == before
    assert done.audit == 9
    assert world.waiting() == 0
    assert world.ask("SELECT name, status FROM reviews ORDER BY name") == [
        ("day", "draft"),
        ("night", "promoted"),
    ]
    assert world.ask("SELECT used_by FROM review_decisions") == [(MERGED,)]
    assert world.ask("SELECT principal, signed_off_by FROM grants") == [("ada", "bob")]


def test_what_waits_to_be_written_counts_in_a_rebuild_and_is_written_once(world: World) -> None:
    a_life(world)
    world.committer.drain()
    waiting = str(reviews.draft_id("late", 0))
    world.decide("review.opened", waiting, name="late", kind="blueprint", head=HEAD, iteration=1)

    world.rebuild()
    world.rebuild()

    assert len(world.rows("reviews")) == 3
    assert len(world.rows("audit")) == 10
    assert world.waiting() == 1
    world.committer.drain()
    assert world.ask("SELECT count(*) FROM audit WHERE record_commit IS NULL") == [(0,)]


def test_a_clone_with_an_id_of_its_own_has_none_and_one_that_takes_over_has_all(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    a_life(world)
    world.committer.drain()
    before = world.digests()

    def rows_of(identity: str | None, name: str) -> tuple[dict[str, str], int]:
        home = clone(
            str(world.repository.path), tmp_path / name, identity=identity, say=lambda _: None
        )
        other = World(
            world.database, Repository.open(home.repository), tmp_path / f"{name}-node", "seed"
        )
        other.node_id = home.node_id() or ""
        other.rebuild_into(new_database())
        return other.digests(), len(other.rows("audit"))

    heir, entries = rows_of("seed", "heir")
    _, own = rows_of(None, "guest")

    assert (entries, own) == (9, 0)
    for table in ("audit", "reviews", "review_iterations", "review_decisions", "grants"):
        assert heir[table] == before[table], table


def test_a_line_of_the_audit_that_is_none_stops_a_rebuild(world: World) -> None:
    world.repository.append_records(
        "refs/xyn/audit/seed",
        expected=None,
        files={"2026-11/a.jsonl": b'{"kind": "audit"}\n'},
        message="Audit\n\nSegment: 2026-11/a.jsonl\nChain: 1 0\n",
        author="Ada <ada@example.net>",
        now=world.now(),
    )

    with pytest.raises(DamagedRecordError, match=r"refs/xyn/audit/seed"):
        world.rebuild()


def test_entries_are_written_in_the_order_in_which_they_were_put(world: World) -> None:
    late = AuditEntry(kind="a.later", actor="ada", at=world.now())
    early = AuditEntry(kind="b.first", actor="ada", at=world.now())
    with world.database.begin() as connection:
        audit.put(connection, [early])
        audit.put(connection, [late])

    world.committer.drain()

    ((_, segment),) = world.repository.walk_records("refs/xyn/audit/seed")
    assert segment.index(b"b.first") < segment.index(b"a.later")
