"""Steps save, validate and promote drafts, as whoever caused their run, however often they try."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.review.review_world import DISK, ReviewWorld, eventually, run_of
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    PermanentError,
    UnavailableError,
    XynError,
)
from xyn_reconciler.node.drafts import Drafts
from xyn_reconciler.node.engine import open_engine
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.managed_git import Managed
from xyn_reconciler.node.ticket import ensure_key
from xyn_reconciler.review import promote, save
from xyn_reconciler.store import reviews
from xyn_reconciler.store.git import MAIN

NEW = DISK.replace("bp.disk", "bp.new").replace("checkmk.alert", "shop.opened")


@pytest.fixture
def drafts(world: ReviewWorld) -> Iterator[Drafts]:
    """What a worker beside the repository has."""
    world.begin()
    home = Home(world.folder)
    home.create()
    ensure_key(home)
    with open_engine(home, world.database.url, {}) as engine:
        yield Drafts(engine, "http://node")


@pytest.fixture
def live(world: ReviewWorld, drafts: Drafts) -> Iterator[Drafts]:
    """The same beside a node whose loops run."""
    stop = threading.Event()
    loops = [
        threading.Thread(target=loop, args=(stop,))
        for loop in (world.reconciler.run, world.reviews.run)
    ]
    for loop in loops:
        loop.start()
    yield drafts
    stop.set()
    for loop in loops:
        loop.join()


def saved(
    drafts: Drafts, run_id: uuid.UUID, name: str = "new", definition: str = NEW
) -> tuple[uuid.UUID, int]:
    return drafts.save(
        name=name, kind="blueprint", definition=definition, files={}, notes=None, run_id=run_id
    )


def promoted(drafts: Drafts, run_id: uuid.UUID) -> tuple[list[str], str]:
    found, commit = drafts.promote(draft="new", run_id=run_id, seconds=60)
    return list(found), commit


@pytest.mark.parametrize(
    "given",
    [
        {"files": {"blueprints/new.yaml": f"{NEW}# \ud83d"}},
        {"files": {"blueprints/\ud83d.yaml": NEW}},
        {"definition": f"{NEW}# \ud83d"},
        {"definition": NEW, "notes": "\ud83d"},
        {"definition": NEW, "name": "new-\ud83d"},
    ],
)
def test_half_a_surrogate_pair_in_what_a_model_wrote_is_told_of(
    world: ReviewWorld, drafts: Drafts, given: dict[str, Any]
) -> None:
    asked = {"name": "new", "definition": None, "files": {}, "notes": None, **given}

    with pytest.raises(InvalidError):
        drafts.save(kind="blueprint", run_id=run_of(world, "bot"), **asked)


def test_a_draft_that_nobody_came_to_review_is_saved_once_and_found_by_the_next_try(
    world: ReviewWorld, drafts: Drafts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run_of(world, "bot")
    monkeypatch.setattr(save, "REVIEW_SECONDS", 0.1)

    with pytest.raises(UnavailableError):
        saved(drafts, run_id)
    head = world.repository.resolve("refs/heads/draft/new")
    with pytest.raises(UnavailableError):
        saved(drafts, run_id)
    world.look()
    found = saved(drafts, run_id)

    assert head is not None
    assert world.repository.resolve("refs/heads/draft/new") == head
    assert found == (world.review("new").draft_id, 1)
    assert world.review("new").author == "bot"
    assert world.repository.commit(head).trailer_values("Run-Id") == (str(run_id),)


def test_a_faulty_draft_is_told_by_line_and_one_without_rules_is_no_schema(
    world: ReviewWorld, live: Drafts
) -> None:
    run_id = run_of(world, "bot")
    # Written past the hooks, nobody announces it: the notice of the draft saved next does.
    world.draft("words", {"notes.txt": "nothing\n", "blueprints/disk.yaml": DISK})
    draft_id, _ = saved(live, run_id, "bad", "id: bp.bad\nplan: 3\n")
    assert eventually(lambda: has_review(world, "words"))

    found = live.validate(draft=str(draft_id), run_id=run_id, seconds=30)
    with pytest.raises(InvalidError) as nothing:
        live.validate(draft="words", run_id=run_id, seconds=30)
    with pytest.raises(XynError) as nowhere:
        live.validate(draft="nowhere", run_id=run_id, seconds=30)

    assert (found["is_valid"], found["revision"]) == (False, 1)
    assert found["checks"]["validation"] == "failed"
    assert {(each["check"], each["path"], each["line"]) for each in found["issues"]} >= {
        ("validation", "blueprints/bad.yaml", 2)
    }
    assert nothing.value.code == "invalid_schema"
    assert nowhere.value.code == "draft_not_found"


def test_checks_that_do_not_end_are_worth_another_try(world: ReviewWorld, drafts: Drafts) -> None:
    world.draft("new", {"blueprints/new.yaml": NEW})
    world.reviews.look()

    with pytest.raises(UnavailableError, match="waits for its checks"):
        drafts.validate(draft="new", run_id=run_of(world, "bot"), seconds=0.3)


def test_a_step_that_tries_again_finds_its_own_promotion(world: ReviewWorld, live: Drafts) -> None:
    run_id = run_of(world, "ada")
    saved(live, run_id)

    first = promoted(live, run_id)
    again = promoted(live, run_id)

    assert first == again == (["bp.new"], world.repository.resolve(MAIN))
    assert len(world.told("review.promoted")) == 1


def test_a_step_that_died_after_main_moved_finds_its_promotion_when_the_loop_has_told_it(
    world: ReviewWorld, live: Drafts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    run_id = run_of(world, "ada")
    saved(live, run_id)
    with monkeypatch.context() as patched:
        patched.setattr(promote, "_finish", killed)
        with pytest.raises(Killed):
            promoted(live, run_id)

    found = promoted(live, run_id)

    assert found == (["bp.new"], world.repository.resolve(MAIN))
    assert world.review("new").status == "promoted"


@pytest.mark.parametrize("other", ["grace", "ada"])
def test_what_another_run_promoted_is_not_this_steps_doing(
    world: ReviewWorld, live: Drafts, other: str
) -> None:
    allow_all(world)
    run_id = run_of(world, "ada")
    saved(live, run_id)
    promoted(live, run_of(world, other))

    with pytest.raises(ConflictError, match=f"was promoted by {other}"):
        promoted(live, run_id)


def test_a_worker_without_the_repository_says_so(world: ReviewWorld, tmp_path: Path) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    with open_engine(elsewhere, world.database.url, {}) as engine:
        with pytest.raises(PermanentError) as caught:
            Drafts(engine, "http://node").promote(draft="new", run_id=uuid.uuid4(), seconds=1)
        with pytest.raises(PermanentError) as of_git:
            Managed(engine).root()

    assert caught.value.failure_code == of_git.value.failure_code == "not_beside_the_repository"


@pytest.mark.parametrize("actor", ["bot", "source:web", "system"])
def test_an_agent_or_a_service_never_promotes_even_where_a_policy_allows_all(
    world: ReviewWorld, live: Drafts, actor: str
) -> None:
    allow_all(world)
    before = world.repository.resolve(MAIN)
    run_id = run_of(world, actor)
    saved(live, run_id)

    with pytest.raises(DeniedError, match="is for people"):
        promoted(live, run_id)

    assert world.repository.resolve(MAIN) == before
    assert [each.entry["outcome"] for each in world.told("policy.decided")][-1] == "refused"


def allow_all(world: ReviewWorld) -> None:
    text = (world.clone / "policies" / "two.yaml").read_text()
    head = world.write({"policies/two.yaml": text.split("  - rule_id")[0] + ALL})
    world.accept("HEAD:main", MAIN, head, "operator")
    world.reconciler.notice()
    assert world.reconciler.wait_for(head, seconds=60).applied


def has_review(world: ReviewWorld, name: str) -> bool:
    with world.database.read() as connection:
        return reviews.find_review(connection, name) is not None


ALL = """\
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d05
    match: {action: "*"}
    effect: allow
"""
