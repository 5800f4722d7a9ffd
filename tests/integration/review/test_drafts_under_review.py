"""Rows follow branches: opened, moved, closed, promoted, whoever died on the way."""

import uuid

from tests.integration.review.review_world import DISK, ReviewWorld, now
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.review.checking import Job
from xyn_reconciler.store import review_rebuild, reviews
from xyn_reconciler.store.git import MAIN

CPU = DISK.replace("bp.disk", "bp.cpu")


def test_a_pushed_draft_is_under_review_and_its_checks_run_from_then_on(world: ReviewWorld) -> None:
    main = world.begin()
    head = world.draft("cpu", {"blueprints/cpu.yaml": CPU})

    (job,) = world.reviews.look()

    review = world.review("cpu")
    assert (review.head, review.iteration, review.author) == (head, 1, "ada")
    assert review.draft_id == reviews.draft_id("cpu", 0)
    assert {*world.statuses("cpu").values()} == {"running"}
    assert job.main == main
    world.checking().run(job)
    assert world.statuses("cpu") == {
        "conflicts": "passed",
        "validation": "passed",
        "lint": "passed",
        "secrets": "passed",
        "behind": "passed",
        "tests": "skipped",
        "backtest": "passed",
    }
    assert world.review("cpu").status == "validated"
    assert world.events("xyn.review.%") == ["xyn.review.opened", "xyn.review.checked"]
    (checked,) = world.told("review.checked")
    assert checked.entry["status"] == "validated"
    assert checked.entry["main"] == main


def test_a_second_look_finds_nothing_to_do(world: ReviewWorld) -> None:
    world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    world.look()

    assert world.look() == []
    assert len(world.told("review.opened", "review.updated", "review.checked")) == 2


def test_a_new_iteration_interrupts_the_old_checks_and_clears_validated(
    world: ReviewWorld,
) -> None:
    world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    (late,) = world.reviews.look()
    world.draft("cpu", {"README.md": "More."}, by="grace")

    world.reviews.look()

    review = world.review("cpu")
    assert (review.iteration, review.author, review.status) == (2, "grace", "draft")
    with world.database.read() as connection:
        old = reviews.checks(connection, review.draft_id, 1)
        authors = reviews.authors(connection, review)
    assert {each.status for each in old} == {"interrupted"}
    assert authors == {"ada", "grace"}
    world.checking().run(late)
    assert {*world.statuses("cpu").values()} == {"running"}


def test_whoever_pushed_between_two_looks_is_an_author_too(world: ReviewWorld) -> None:
    world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU}, by="bot")
    world.draft("cpu", {"README.md": "More."}, by="ada")

    world.look()

    review = world.review("cpu")
    assert review.iteration == 1
    with world.database.read() as connection:
        assert reviews.authors(connection, review) == {"ada", "bot"}


def test_who_pushed_a_commit_to_another_draft_is_an_author_of_this_one_too(
    world: ReviewWorld,
) -> None:
    world.begin()
    head = world.draft("graces", {"blueprints/cpu.yaml": CPU}, by="grace")
    world.accept("HEAD:refs/heads/draft/bots", "refs/heads/draft/bots", head, "bot")
    world.look()

    (asked,) = world.assess("bots").asked

    assert asked.request.authors == {"bot", "grace"}


def test_what_was_validated_is_checked_again_when_main_has_moved(world: ReviewWorld) -> None:
    main = world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    world.look()
    world.start_from(main)
    moved = world.write({"README.md": "Elsewhere."})
    world.accept("HEAD:main", MAIN, moved, "operator")

    (job,) = world.reviews.look()

    assert job.main == moved
    assert world.review("cpu").status == "draft"
    world.checking().run(job)
    assert world.review("cpu").status == "validated"
    assert world.checks("cpu")["behind"].summary == "1 commit behind main"
    assert {each.main for each in world.checks("cpu").values()} == {moved}


def test_checks_that_a_dead_process_left_running_are_run_again(world: ReviewWorld) -> None:
    world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    (dead,) = world.reviews.look()

    (again,) = world.reviews.look()

    assert isinstance(again, Job)
    world.checking().run(dead)
    assert {*world.statuses("cpu").values()} == {"running"}
    world.checking().run(again)
    assert world.review("cpu").status == "validated"


def test_a_deleted_branch_closes_the_review_and_the_next_of_that_name_is_another(
    world: ReviewWorld,
) -> None:
    world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    world.look()
    first = world.review("cpu")
    entry = {"old": first.head, "new": None, "how": "push"}
    world.note(
        AuditEntry(kind="ref.accepted", actor="grace", at=now(), subject=first.ref, entry=entry)
    )
    world.repository.update_ref(first.ref, expected=first.head, new=None)

    world.look()

    assert world.review("cpu").closed_at is not None
    (closed,) = world.told("review.closed")
    assert closed.actor == "grace"
    world.draft("cpu", {"README.md": "Again."})
    world.look()
    second = world.review("cpu")
    assert second.closed_at is None
    assert second.draft_id == reviews.draft_id("cpu", 1) != first.draft_id


def test_a_promotion_that_was_killed_after_main_moved_is_ended_by_the_next_look(
    world: ReviewWorld,
) -> None:
    main = world.begin()
    head = world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    world.look()
    review = world.review("cpu")
    entry = {
        "old": main,
        "new": head,
        "how": "promotion",
        "draft_id": str(review.draft_id),
        "approvals": [str(uuid.uuid4())],
        "policy": [],
    }
    world.note(AuditEntry(kind="ref.accepted", actor="grace", at=now(), subject=MAIN, entry=entry))
    assert world.look() == []
    assert world.review("cpu").closed_at is None  # accepted, and main did not move yet
    world.repository.update_ref(MAIN, expected=main, new=head)

    world.look()

    promoted = world.review("cpu")
    assert (promoted.status, promoted.promoted_commit) == ("promoted", head)
    assert world.repository.resolve(review.ref) is None
    (told,) = world.told("review.promoted")
    assert told.actor == "grace"
    assert world.told("review.closed") == []
    assert world.events("xyn.review.promoted") == ["xyn.review.promoted"]


def test_a_draft_of_packs_alone_is_one_of_a_pack_and_brings_its_run_and_notes(
    world: ReviewWorld,
) -> None:
    world.begin()
    run_id = uuid.uuid4()
    head = world.write(
        {"packs/a/notes.txt": "x"}, f"Add a pack\n\nBecause of the night.\n\nRun-Id: {run_id}"
    )
    world.accept("+HEAD:refs/heads/draft/p", "refs/heads/draft/p", head, "ada")

    world.look()

    review = world.review("p")
    assert (review.kind, review.run_id) == ("pack", run_id)
    assert review.notes == "Because of the night."


def test_the_rows_come_back_from_the_audit_alone(world: ReviewWorld) -> None:
    world.begin()
    world.draft("cpu", {"blueprints/cpu.yaml": CPU})
    world.draft("other", {"README.md": "More."}, by="grace")
    world.look()
    world.draft("cpu", {"README.md": "Even more."})
    world.look()
    before = {name: world.review(name) for name in ("cpu", "other")}
    statuses = world.statuses("cpu")
    entries = world.told("review.opened", "review.updated", "review.checked")

    with world.database.begin() as connection:
        count = review_rebuild.put_back(connection, entries)

    assert count == 2
    assert {name: world.review(name) for name in before} == before
    assert world.statuses("cpu") == statuses
    assert world.look() == []
