"""Promote and roll back: what main gets, what stands in the way, and who may say yes."""

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.integration.review.review_world import (
    ADA,
    BOT,
    DISK,
    GRACE,
    POLICY,
    ReviewWorld,
    eventually,
    now,
)
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    NeedsApprovalError,
    NotFoundError,
    ProblemsError,
    UnavailableError,
)
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review import say
from xyn_reconciler.review.checks import CHECKS, CheckContext, CheckResult
from xyn_reconciler.review.desk import Desk, DraftNotFoundError
from xyn_reconciler.review.landing import Landed
from xyn_reconciler.review.promote import ChecksFailedError, promote
from xyn_reconciler.review.rollback import roll_back
from xyn_reconciler.store import grants, notice, reviews
from xyn_reconciler.store.git import MAIN, Commit
from xyn_reconciler.store.grants import Grant

CPU = DISK.replace("bp.disk", "bp.cpu")


class Loops:
    """The reconciler and the reviews of a node, looking by themselves; no hooks."""

    def __init__(self, world: ReviewWorld) -> None:
        self.world = world
        self.desk = Desk(
            database=world.database,
            repository=world.repository,
            reconciler=world.reconciler,
            merging=world.merging,
            emit=world.emit,
            clock=now,
        )

    def draft(self, name: str, by: str = "ada", **files: str | None) -> str:
        """Push a draft made on main as it is, and wait for its checks."""
        main = self.world.repository.resolve(MAIN)
        assert main is not None
        self.world.git("fetch", "--quiet", "origin")
        self.world.start_from(main)
        head = self.world.draft(
            name, {path.replace("__", "/") + ".yaml": text for path, text in files.items()}, by
        )
        self.checked(name, head)
        return head

    def checked(self, name: str, head: str) -> None:
        """Tell the loop, as a push does, and wait for what it finds."""
        self.noticed(name, head)
        assert eventually(lambda: "running" not in self.world.statuses(name).values())

    def noticed(self, name: str, head: str) -> None:
        with self.world.database.begin() as connection:
            notice.notify(connection, notice.REVIEW, name)

        def there() -> bool:
            with self.world.database.read() as connection:
                review = reviews.find_review(connection, name)
            return review is not None and (review.head, review.closed_at) == (head, None)

        assert eventually(there)

    def promote(self, name: str, actor: Principal = ADA, seconds: float = 15.0) -> Landed:
        return promote(self.desk, self.world.review(name).draft_id, actor, seconds=seconds)

    def approve(self, name: str, actor: Principal = GRACE, digest: str | None = None) -> None:
        say.vote(self.desk, self.world.review(name).draft_id, actor, "approved", digest=digest)

    def reject(self, name: str, actor: Principal, comment: str | None = None) -> None:
        draft_id = self.world.review(name).draft_id
        say.vote(self.desk, draft_id, actor, "rejected", comment=comment)

    def digest(self, name: str) -> str:
        return self.world.assess(name).effect_digest

    def main(self) -> Commit:
        found = self.world.repository.resolve(MAIN)
        assert found is not None
        return self.world.repository.commit(found)

    def text(self, path: str) -> str | None:
        found = self.world.repository.read_path(MAIN, path)
        return None if found is None else found.decode()


@pytest.fixture
def looping(world: ReviewWorld) -> Iterator[Callable[..., Loops]]:
    """Begin on a stage, with loops that run until the test ends."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def begin(stage: str = "dev", **files: str) -> Loops:
        world.begin(stage, **files)
        for loop in (world.reconciler.run, world.reviews.run):
            threads.append(threading.Thread(target=partial(loop, stop)))
            threads[-1].start()
        return Loops(world)

    yield begin
    stop.set()
    for thread in threads:
        thread.join()


def test_a_promotion_is_a_merge_with_both_parents_that_says_who_agreed(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    before = node.main().sha
    head = node.draft("cpu", blueprints__cpu=CPU)
    node.approve("cpu")

    landed = node.promote("cpu")

    commit = node.main()
    assert (commit.sha, landed.applied) == (landed.commit, True)
    assert commit.parents == (before, head)
    assert (commit.subject, commit.author) == ("Promote draft/cpu", "ada <ada@xyn>")
    assert commit.trailer_values("Draft") == ("cpu",)
    assert commit.trailer_values("Reviewed-by") == ("grace",)
    (policy,) = commit.trailer_values("Policy")
    assert policy.startswith("2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01@")
    assert node.text("blueprints/cpu.yaml") == CPU
    assert node.world.repository.resolve("refs/heads/draft/cpu") is None
    review = node.world.review("cpu")
    assert (review.status, review.promoted_commit) == ("promoted", commit.sha)


def test_what_was_decided_is_told_before_main_moves_and_by_whom(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    before = node.main().sha
    node.draft("cpu", blueprints__cpu=CPU)
    node.approve("cpu")

    landed = node.promote("cpu")

    decided, accepted, promoted = node.world.told(
        "policy.decided", "ref.accepted", "review.promoted"
    )[-3:]
    assert (decided.kind, decided.actor, decided.entry["outcome"]) == (
        "policy.decided",
        "ada",
        "allowed",
    )
    assert decided.entry["action"] == "blueprint.promote"
    assert (accepted.subject, accepted.actor) == (MAIN, "ada")
    assert accepted.entry["old"] == before
    assert (accepted.entry["new"], accepted.entry["how"]) == (landed.commit, "promotion")
    assert promoted.entry["approvals"] == accepted.entry["approvals"]
    assert len(promoted.entry["approvals"]) == 1


def test_without_the_approval_that_policy_asks_for_nothing_moves_and_each_condition_is_named(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    before = node.main().sha
    node.draft("cpu", blueprints__cpu=CPU)

    with pytest.raises(NeedsApprovalError, match="1 more approval by role:OwnerAdmin") as refused:
        node.promote("cpu")

    assert refused.value.details is not None
    assert refused.value.details["unmet"] == ["1 more approval by role:OwnerAdmin, and not by ada"]
    assert node.main().sha == before
    (decided,) = node.world.told("policy.decided")
    assert decided.entry["outcome"] == "needs_approval"


@pytest.mark.parametrize("stage", ["dev", "test"])
def test_an_agent_never_promotes_and_never_approves(
    looping: Callable[..., Loops], stage: str
) -> None:
    node = looping(stage)
    node.draft("cpu", by="bot", blueprints__cpu=CPU)

    with pytest.raises(DeniedError, match="for people"):
        node.approve("cpu", BOT)
    with pytest.raises(DeniedError, match="for people"):
        node.promote("cpu", BOT)


def test_authors_do_not_approve_their_own_work_even_if_another_pushed_last(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    node.draft("cpu", by="grace", blueprints__cpu=CPU)
    node.world.git("checkout", "--quiet", "-B", "main", node.world.review("cpu").head)
    head = node.world.draft("cpu", {"README.md": "More."}, by="ada")
    node.checked("cpu", head)

    with pytest.raises(say.SelfApprovalError, match="grace has pushed to draft/cpu"):
        node.approve("cpu", GRACE)


def test_whoever_is_not_asked_is_told_who_is(looping: Callable[..., Loops]) -> None:
    node = looping("test")
    node.draft("cpu", by="grace", blueprints__cpu=CPU)

    with pytest.raises(say.NotAnApproverError, match="by role:OwnerAdmin"):
        node.approve("cpu", ADA)
    with pytest.raises(DeniedError, match=r"nobody whom principals.yaml names"):
        node.approve("cpu", Principal("mallory", roles=frozenset({"OwnerAdmin"})))


def test_an_approval_of_another_state_of_the_draft_is_stale(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    seen = node.digest("cpu")
    node.approve("cpu")
    head = node.world.draft("cpu", {"blueprints/cpu.yaml": CPU + "name: CPU\n"})
    node.checked("cpu", head)

    with pytest.raises(say.StaleApprovalError, match="look at it again"):
        node.approve("cpu", digest=seen)
    with pytest.raises(NeedsApprovalError):
        node.promote("cpu")


def test_an_approval_outlives_what_happens_elsewhere_on_main(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    node.approve("cpu")
    node.draft("ram", blueprints__ram=DISK.replace("bp.disk", "bp.ram"))
    node.approve("ram")

    node.promote("ram")
    node.promote("cpu")

    assert node.text("blueprints/cpu.yaml") == CPU
    assert node.text("blueprints/ram.yaml") is not None


def test_an_approval_of_another_draft_is_foreign(looping: Callable[..., Loops]) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    node.draft("ram", blueprints__ram=DISK.replace("bp.disk", "bp.ram"))

    with pytest.raises(say.ForeignApprovalError, match="is what draft/ram would change"):
        node.approve("cpu", digest=node.digest("ram"))


def test_an_approval_allows_one_promotion(looping: Callable[..., Loops]) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    used = node.digest("cpu")
    node.approve("cpu")
    node.promote("cpu")
    node.draft("cpu", blueprints__cpu=CPU + "name: CPU\n")

    with pytest.raises(say.UsedApprovalError, match="an approval allows one promotion"):
        node.approve("cpu", digest=used)
    with pytest.raises(NeedsApprovalError):
        node.promote("cpu")


def test_the_same_change_made_again_after_a_rollback_needs_an_approval_of_its_own(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    node.approve("cpu")
    landed = node.promote("cpu")
    roll_back(node.desk, landed.commit, ADA)

    node.draft("cpu", blueprints__cpu=CPU)

    assert node.world.assess("cpu").approvals == ()


def test_a_no_stands_in_the_way_until_it_is_taken_back(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    node.reject("cpu", GRACE, "not on a friday")

    with pytest.raises(NeedsApprovalError, match="grace rejected it: not on a friday"):
        node.promote("cpu")

    node.approve("cpu", GRACE)
    node.promote("cpu")


def test_who_says_the_same_twice_is_told(looping: Callable[..., Loops]) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    node.approve("cpu")

    with pytest.raises(say.AlreadyDecidedError):
        node.approve("cpu")


def test_a_conflict_is_told_by_path_with_both_sides_and_nothing_moves(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    base = node.main().sha
    node.draft("mine", blueprints__disk=DISK.replace("checkmk.alert", "icinga.alert"))
    node.world.start_from(base)
    theirs = DISK.replace("checkmk.alert", "nagios.alert")
    head = node.world.draft("theirs", {"blueprints/disk.yaml": theirs})
    node.checked("theirs", head)
    main = node.promote("mine").commit

    with pytest.raises(ConflictError, match=r"conflicts with main in blueprints/disk.yaml") as told:
        node.promote("theirs")

    assert told.value.details is not None
    (conflict,) = told.value.details["conflicts"]
    assert (conflict["path"], conflict["base"], conflict["draft"]) == (
        "blueprints/disk.yaml",
        DISK,
        theirs,
    )
    assert "icinga.alert" in conflict["main"]
    assert node.main().sha == main


def test_two_drafts_that_merge_cleanly_to_nonsense_are_refused(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    base = node.main().sha
    node.draft("one", blueprints__a=CPU)
    node.world.start_from(base)
    head = node.world.draft("two", {"blueprints/b.yaml": CPU})
    node.checked("two", head)
    node.promote("one")

    with pytest.raises(ProblemsError, match=r"bp\.cpu") as refused:
        node.promote("two")

    assert refused.value.code == "validation_failed"


def test_a_failed_check_is_named(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU + "# correct-horse-battery\n")

    with pytest.raises(ChecksFailedError, match="secrets") as refused:
        node.promote("cpu")

    assert refused.value.code == "validation_failed"


def test_a_change_that_locks_everybody_out_is_refused(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("rules", policies__two=POLICY.replace("effect: allow", "effect: deny"))

    with pytest.raises(ProblemsError, match="policy_lockout"):
        node.promote("rules")


def test_a_policy_that_loosens_itself_is_asked_about_by_the_policy_before_it(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    node.draft("rules", policies__two=POLICY.replace("stage: dev", "stage: test"))

    with pytest.raises(NeedsApprovalError, match="by role:OwnerAdmin"):
        node.promote("rules")


def test_a_promotion_waits_for_checks_that_run_and_gives_up_in_time(
    looping: Callable[..., Loops], world: ReviewWorld
) -> None:
    release = threading.Event()

    def slow(_context: CheckContext) -> CheckResult:
        release.wait(30)
        return CheckResult("passed", "at last")

    world.reviews._checking = world.checking({**CHECKS, "tests": slow})  # noqa: SLF001 - of the loop at hand
    node = looping("dev")
    node.world.start_from(node.main().sha)
    node.noticed("cpu", node.world.draft("cpu", {"blueprints/cpu.yaml": CPU}))

    with pytest.raises(UnavailableError, match="waits for its checks: tests"):
        node.promote("cpu", seconds=0.5)
    threading.Timer(0.3, release.set).start()

    assert node.promote("cpu").applied


def test_a_promotion_of_what_moved_in_the_meantime_is_refused(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    seen = node.draft("cpu", blueprints__cpu=CPU)
    head = node.world.draft("cpu", {"blueprints/cpu.yaml": CPU + "name: CPU\n"})
    node.checked("cpu", head)

    with pytest.raises(ConflictError, match="look again"):
        promote(node.desk, node.world.review("cpu").draft_id, ADA, head=seen)


def test_promoted_is_promoted_and_unknown_is_unknown(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    landed = node.promote("cpu")
    review = node.world.review("cpu")

    with pytest.raises(ConflictError, match=f"was promoted by {landed.commit}"):
        promote(node.desk, review.draft_id, ADA)
    with pytest.raises(DraftNotFoundError):
        promote(node.desk, review.draft_id.__class__(int=0), ADA)


def test_drafts_promoted_at_once_all_land_one_after_the_other(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    names = [f"d{number}" for number in range(4)]
    for name in names:
        node.draft(name, **{f"blueprints__{name}": DISK.replace("bp.disk", f"bp.{name}")})
    landed: dict[str, Landed] = {}

    threads = [
        threading.Thread(target=lambda name=name: landed.update({name: node.promote(name)}))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    history = [each.sha for each in node.world.repository.log(MAIN)]
    assert {each.commit for each in landed.values()} <= {*history}
    assert [node.world.review(name).status for name in names] == ["promoted"] * 4
    assert all(node.text(f"blueprints/{name}.yaml") for name in names)


def test_a_rollback_restores_and_says_what_it_takes_back(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    tree = node.main().tree
    node.draft("cpu", blueprints__cpu=CPU)
    promoted = node.promote("cpu").commit

    landed = roll_back(node.desk, promoted, ADA)

    commit = node.main()
    assert (commit.sha, commit.tree, commit.parents) == (landed.commit, tree, (promoted,))
    assert commit.trailer_values("Reverts") == (promoted,)
    assert landed.applied
    accepted, done = node.world.told("ref.accepted", "rollback")[-2:]
    assert (accepted.entry["how"], accepted.entry["reverts"]) == ("rollback", promoted)
    assert (done.subject, done.entry) == (promoted, {"commit": commit.sha})


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_was_rolled_back_is_not_promoted_again_by_itself(
    looping: Callable[..., Loops], *, by_hand: bool
) -> None:
    node = looping("dev")
    head = node.draft("cpu", blueprints__cpu=CPU)
    promoted = node.promote("cpu").commit
    if by_hand:
        node.world.git("fetch", "--quiet", "origin")
        node.world.start_from(promoted)
        node.world.git("revert", "--mainline", "1", "--no-edit", promoted)
        sha = node.world.git("rev-parse", "HEAD").stdout.strip()
        node.world.accept("HEAD:main", MAIN, sha, "ada")
        node.world.reconciler.notice()
    else:
        roll_back(node.desk, promoted, ADA)
    reverted = node.main().sha
    node.world.start_from(head)
    node.world.accept("HEAD:refs/heads/draft/again", "refs/heads/draft/again", head, "ada")
    node.checked("again", head)

    with pytest.raises(ConflictError, match=f"taken back by {reverted[:12]}"):
        node.promote("again")

    assert node.text("blueprints/cpu.yaml") is None


def test_reverting_the_revert_brings_it_back(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    promoted = node.promote("cpu").commit
    reverted = roll_back(node.desk, promoted, ADA).commit
    node.world.git("fetch", "--quiet", "origin")
    node.world.start_from(reverted)
    node.world.git("revert", "--no-edit", reverted)
    head = node.world.git("rev-parse", "HEAD").stdout.strip()
    node.world.accept("HEAD:refs/heads/draft/back", "refs/heads/draft/back", head, "ada")
    node.checked("back", head)

    node.promote("back")

    assert node.text("blueprints/cpu.yaml") == CPU


def test_a_rollback_asks_the_same_policies_and_names_the_way_round(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    node.approve("cpu")
    promoted = node.promote("cpu").commit

    with pytest.raises(NeedsApprovalError, match=f"draft/revert-{promoted[:12]}"):
        roll_back(node.desk, promoted, ADA)
    with pytest.raises(DeniedError, match="for people"):
        roll_back(node.desk, promoted, BOT)

    assert node.main().sha == promoted


def test_a_rollback_of_what_is_gone_or_built_upon_is_refused(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    first = node.promote("cpu").commit
    node.draft("more", blueprints__cpu=CPU.replace("checkmk.alert", "icinga.alert"))
    second = node.promote("more").commit

    with pytest.raises(ConflictError, match=r"conflicts with main in blueprints/cpu.yaml"):
        roll_back(node.desk, first, ADA)
    roll_back(node.desk, second, ADA)
    with pytest.raises(ConflictError, match="changes nothing"):
        roll_back(node.desk, second, ADA)
    with pytest.raises(NotFoundError):
        roll_back(node.desk, "1" * 40, ADA)


def test_a_draft_that_is_given_up_is_closed_and_its_name_is_free_again(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    first = node.world.review("cpu").draft_id
    say.comment(node.desk, first, GRACE, "why?", path="blueprints/cpu.yaml", line=1)

    say.close(node.desk, first, ADA)

    assert node.world.repository.resolve("refs/heads/draft/cpu") is None
    assert [each.actor for each in node.world.told("review.closed")] == ["ada"]
    with pytest.raises(ConflictError, match="is closed"):
        say.comment(node.desk, first, GRACE, "and now?")
    node.draft("cpu", blueprints__cpu=CPU)
    assert node.world.review("cpu").draft_id != first


def test_an_agent_closes_its_own_draft_and_nobody_elses(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    draft = node.world.review("cpu").draft_id

    with pytest.raises(DeniedError, match="bot has not pushed to draft/cpu"):
        say.close(node.desk, draft, BOT)

    assert node.world.repository.resolve("refs/heads/draft/cpu") is not None


def test_checks_run_again_when_asked(looping: Callable[..., Loops]) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    before = node.world.checks("cpu")["validation"].started_at

    say.look_again(node.desk, node.world.review("cpu").draft_id)

    assert eventually(
        lambda: (
            node.world.checks("cpu")["validation"].started_at > before
            and node.world.review("cpu").status == "validated"
        )
    )


def test_whoever_broke_the_glass_promotes_without_an_approval_and_that_is_written_down(
    looping: Callable[..., Loops],
) -> None:
    node = looping("test")
    node.draft("cpu", blueprints__cpu=CPU)
    grant = Grant(
        grant_id=uuid.uuid4(),
        principal="ada",
        role="Operator",
        reason="The disk is full.",
        created_at=now() - dt.timedelta(minutes=1),
        expires_at=now() + dt.timedelta(minutes=14),
    )
    with node.world.database.begin() as connection:
        grants.insert_grant(connection, grant)

    landed = node.promote("cpu")

    assert node.main().sha == landed.commit
    (decided,) = node.world.told("policy.decided")
    assert decided.entry["grant_id"] == str(grant.grant_id)
    assert decided.entry["unmet"] == ["1 more approval by role:OwnerAdmin, and not by ada"]


def test_a_node_that_follows_another_promotes_and_rolls_back_nothing(
    looping: Callable[..., Loops],
) -> None:
    node = looping("dev")
    node.draft("cpu", blueprints__cpu=CPU)
    following = replace(node.desk, origin="https://other.example.net")

    with pytest.raises(ConflictError, match=r"follows https://other\.example\.net"):
        promote(following, node.world.review("cpu").draft_id, ADA)
    node.promote("cpu")
    with pytest.raises(ConflictError, match=r"follows https://other\.example\.net"):
        roll_back(following, node.main().sha, ADA)
