"""What each check finds in a draft merged with ``main``."""

from dataclasses import replace

import pytest

from tests.integration.review.review_world import DISK, POLICY, ReviewWorld
from xyn_reconciler.review.checks import CHECKS, CheckContext, CheckResult
from xyn_reconciler.review.reports import with_reports
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.git import MAIN

STEP = "  - {id: note, kind: transform"


def test_two_steps_of_one_id_merge_cleanly_and_do_not_validate(world: ReviewWorld) -> None:
    steps = "".join(f"  - {{id: s{n}, kind: transform, set: {{x: {n}}}}}\n" for n in range(8))
    plan = f"id: bp.disk\nplan:\n{steps}"
    main = world.begin(**{"blueprints/disk.yaml": plan})
    same = "  - {id: same, kind: transform, set: {x: 1}}\n"
    world.draft("one", {"blueprints/disk.yaml": plan.replace("plan:\n", f"plan:\n{same}")})
    world.start_from(main)
    moved = world.write({"blueprints/disk.yaml": f"{plan}{same}"})
    world.accept("HEAD:main", MAIN, moved, "operator")
    world.reconciler.reconcile()

    world.look()

    found = world.checks("one")
    assert found["conflicts"].status == "passed"
    assert found["validation"].status == "failed"
    report = found["validation"].report
    assert report is not None
    assert not report["is_valid"]
    assert {issue["path"] for issue in report["issues"]} == {"blueprints/disk.yaml"}
    assert world.review("one").status == "draft"
    assert any("validation failed" in reason for reason in world.assess("one").reasons)


def test_a_conflict_is_named_by_path_with_the_blobs_of_both_sides(world: ReviewWorld) -> None:
    main = world.begin()
    head = world.draft("a", {"blueprints/disk.yaml": DISK.replace("note,", "draft,")})
    world.start_from(main)
    moved = world.write({"blueprints/disk.yaml": DISK.replace("note,", "main,")})
    world.accept("HEAD:main", MAIN, moved, "operator")
    world.reconciler.reconcile()

    world.look()

    check = world.checks("a")["conflicts"]
    path = "blueprints/disk.yaml"
    assert (check.status, check.summary) == ("failed", f"conflicts with main in {path}")
    assert check.report == [
        {
            "path": path,
            "base": world.repository.files(main)[path],
            "main": world.repository.files(moved)[path],
            "draft": world.repository.files(head)[path],
        }
    ]
    assert f"it conflicts with main in {path}" in world.assess("a").reasons


def test_a_draft_without_a_common_ancestor_fails_one_check_and_skips_the_others(
    world: ReviewWorld,
) -> None:
    world.begin()
    world.git("checkout", "--quiet", "--orphan", "elsewhere")
    world.draft("orphan", {"README.md": "Elsewhere."})

    world.look()

    statuses = world.statuses("orphan")
    assert statuses.pop("conflicts") == "failed"
    assert {*statuses.values()} == {"skipped"}
    assert world.review("orphan").status == "draft"


@pytest.mark.parametrize(
    "secret", ["gh" + "p_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R", "correct-horse-battery"]
)
def test_a_secret_is_found_by_file_and_line_and_never_shown(
    world: ReviewWorld, secret: str
) -> None:
    world.begin()
    world.draft("leak", {"notes/how.md": f"one\ntwo {secret}\n"})

    world.look()

    check = world.checks("leak")["secrets"]
    assert check.status == "failed"
    assert check.report is not None
    assert [(each["path"], each["line"]) for each in check.report] == [("notes/how.md", 2)]
    assert secret not in str(check)


def test_a_secret_that_a_later_commit_took_out_would_still_be_in_the_history(
    world: ReviewWorld,
) -> None:
    world.begin()
    leaked = world.write({"notes/how.md": "correct-horse-battery\n"})
    world.draft("leak", {"notes/how.md": None})

    world.look()

    check = world.checks("leak")["secrets"]
    assert check.status == "failed"
    assert check.report is not None
    assert leaked[:12] in check.report[0]["message"]


def test_a_draft_that_locks_everybody_out_of_policy_does_not_validate(world: ReviewWorld) -> None:
    world.begin()
    policy = POLICY.replace('["role:Operator"]', '["principal:nobody-here"]').replace(
        "role:OwnerAdmin", "role:User"
    )
    world.draft("locked", {"policies/two.yaml": policy})

    world.look()

    report = world.checks("locked")["validation"].report
    assert report is not None
    assert "policy_lockout" in {issue["code"] for issue in report["issues"]}


def test_a_check_that_breaks_fails_and_the_others_go_on(world: ReviewWorld) -> None:
    def broken(_context: CheckContext) -> CheckResult:
        raise ZeroDivisionError

    world.begin()
    world.draft("a", {"README.md": "x"})
    (job,) = world.reviews.look()

    world.checking({**CHECKS, "lint": broken}).run(job)

    statuses = world.statuses("a")
    assert statuses["lint"] == "failed"
    assert statuses["secrets"] == "passed"
    assert world.review("a").status == "draft"


def test_a_report_is_an_artifact_and_the_same_report_the_same_one(world: ReviewWorld) -> None:
    main = world.begin()
    world.draft("a", {"README.md": "x"})
    world.look()
    first = world.checks("a")["validation"].artifact_id
    world.start_from(main)
    moved = world.write({"other.md": "Elsewhere."})
    world.accept("HEAD:main", MAIN, moved, "operator")

    world.look()

    assert first is not None
    assert world.checks("a")["validation"].artifact_id == first
    assert world.checks("a")["validation"].main == moved
    (told, _) = world.told("review.checked")
    assert told.entry["reports"]["validation"] == str(first)


def test_a_failing_blueprint_test_fails_the_check_and_names_the_file(world: ReviewWorld) -> None:
    test = """\
name: the host is noted
blueprint: bp.disk
event: {event_name: checkmk.alert, data: {host: web-1}}
expect:
  status: completed
  steps: {note: {outputs: {host: HOST}}}
"""
    world.begin()
    world.draft("good", {"tests/disk.yaml": test.replace("HOST", "web-1")})
    world.draft("bad", {"tests/disk.yaml": test.replace("HOST", "web-2")})
    new = {"blueprints/new.yaml": DISK.replace("bp.disk", "bp.new")}
    world.draft("new", {"tests/disk.yaml": test.replace("HOST", "web-1"), **new})

    world.look()

    assert world.checks("good")["tests"].summary == "1 passed"
    assert world.checks("new")["tests"].summary == "1 passed; no test is of bp.new"
    failed = world.checks("bad")["tests"]
    assert failed.status == "failed"
    assert failed.summary is not None
    assert failed.summary.startswith("1 of 1 failed: tests/disk.yaml: ")
    assert world.review("bad").status == "draft"


def test_a_row_that_was_made_anew_has_its_report_from_the_artifact(world: ReviewWorld) -> None:
    world.begin()
    world.draft("a", {"blueprints/disk.yaml": "id: bp.disk\nplan: []\n"})
    world.look()
    checks = list(world.checks("a").values())
    rebuilt = [replace(check, report=None) for check in checks]

    with world.database.read() as connection:
        found = with_reports(connection, ArtifactStore(world.folder / "artifacts"), rebuilt)

    assert "issues" in (world.checks("a")["validation"].report or {})
    assert [check.report for check in found] == [check.report for check in checks]
