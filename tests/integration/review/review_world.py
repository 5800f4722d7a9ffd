"""A node's hooks, reconciler and reviews on a real repository and database, and a clone."""

import datetime as dt
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.run import PlanNode
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.reconcile.push import PushGate
from xyn_reconciler.review.announce import announce
from xyn_reconciler.review.assess import Assessment, assess
from xyn_reconciler.review.checking import Checking, Job
from xyn_reconciler.review.checks import CHECKS, CheckFunction
from xyn_reconciler.review.facts import gather
from xyn_reconciler.review.loop import Reviews
from xyn_reconciler.review.merged import Merging
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.store import audit, desired, reviews, runs
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.reviews import Check, Review
from xyn_reconciler.store.runs import NewRun
from xyn_reconciler.trigger.intake import Intake

NODE = "id: seed\nenv_id: local\nmode: active\nstage: {stage}\nauth: open\n"
DISK = """\
id: bp.disk
triggers:
  - event_type: checkmk.alert
plan:
  - {id: note, kind: transform, set: {host: "{{ event.data.host }}"}}
"""
PRINCIPALS = """\
principals:
  - {id: ada, kind: person, roles: [Operator]}
  - {id: grace, kind: person, roles: [OwnerAdmin]}
  - {id: bot, kind: agent, roles: [Operator]}
"""
POLICY = """\
policy_id: 2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01
policy_type: governance
name: two people
status: active
rules:
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d01
    priority: 100
    match: {action: "*", stage: dev, actor: ["role:Operator"]}
    effect: allow
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d02
    match: {action: policy.change}
    effect: require_approval
    requirements: {approvals: {min: 1, from_any_of: ["role:OwnerAdmin"], allow_self: false}}
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d03
    match: {action: blueprint.promote}
    effect: require_approval
    requirements: {approvals: {min: 1, from_any_of: ["role:OwnerAdmin"], allow_self: false}}
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d04
    match: {action: run.start}
    effect: allow
"""
ADA = Principal("ada", roles=frozenset({"Operator"}))
GRACE = Principal("grace", roles=frozenset({"OwnerAdmin"}))
BOT = Principal("bot", "agent", frozenset({"Operator"}))


@dataclass
class Pushed:
    ok: bool
    said: str


@dataclass
class ReviewWorld:
    """Nothing looks by itself: each test says when; ``served`` has hooks and a loop."""

    database: Database
    repository: Repository
    folder: Path
    tickets: dict[str, Principal] = field(
        default_factory=lambda: {each.id: each for each in (ADA, GRACE, BOT, OPERATOR)}
    )

    def __post_init__(self) -> None:
        intake = Intake(compile_run, Redactor())
        with self.database.begin() as connection:
            desired.ensure_node(connection, "seed")
        self.emit = intake.emit
        self.reconciler = Reconciler(self.database, self.repository, Catalogue({}), intake.emit)
        self.merging = Merging(self.repository, self.reconciler)
        self.reviews = Reviews(self.checking())
        self.clone = self.folder / "clone"
        self.git("init", "--quiet", "--initial-branch=main", str(self.clone), cwd=self.folder)
        self.git("remote", "add", "origin", str(self.repository.path))

    def checking(self, checks: Mapping[str, CheckFunction] = CHECKS) -> Checking:
        return Checking(
            database=self.database,
            repository=self.repository,
            reconciler=self.reconciler,
            merging=self.merging,
            artifacts=ArtifactStore(self.folder / "artifacts"),
            redactor=Redactor(["correct-horse-battery"]),
            catalogue=Catalogue({}),
            emit=self.emit,
            checks=checks,
        )

    def gate(self) -> PushGate:
        return PushGate(
            self.reconciler,
            self.repository,
            self.database,
            self.emit,
            principal_of=self.tickets.get,
            foresee=lambda _document: (),
            announce=lambda name, head: announce(self.database, "http://node", name, head),
        )

    # ── a person's clone ─────────────────────────────────────────────────────────────────────────

    def git(
        self, *arguments: str, cwd: Path | None = None, ticket: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Somebody",
            "GIT_AUTHOR_EMAIL": "somebody@example.net",
            "GIT_COMMITTER_NAME": "Somebody",
            "GIT_COMMITTER_EMAIL": "somebody@example.net",
        }
        if ticket is not None:
            environment["XYN_TICKET"] = ticket
        return subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, files: Mapping[str, str | None], message: str = "A change") -> str:
        for path, content in files.items():
            place = self.clone / path
            if content is None:
                place.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").stdout.strip()

    def start_from(self, commit: str) -> None:
        self.git("checkout", "--quiet", "-B", "main", commit)

    def push(self, *refspecs: str, by: str | None = None, force: bool = False) -> Pushed:
        forced = ["--force"] if force else []
        done = self.git("push", "--quiet", *forced, "origin", *refspecs, ticket=by)
        said = "\n".join(
            line.removeprefix("remote: ").rstrip()
            for line in done.stderr.splitlines()
            if line.startswith("remote:")
        )
        return Pushed(done.returncode == 0, said)

    # ── without hooks: what they would have left ─────────────────────────────────────────────────

    def begin(self, stage: str = "dev", **files: str) -> str:
        """Make the first revision active."""
        head = self.write(
            {
                "node.yaml": NODE.format(stage=stage),
                "principals.yaml": PRINCIPALS,
                "policies/two.yaml": POLICY,
                "blueprints/disk.yaml": DISK,
                **files,
            }
        )
        self.accept("HEAD:main", MAIN, head, "operator")
        judgement = self.reconciler.reconcile()
        assert judgement is not None
        assert not judgement.problems
        return head

    def draft(self, name: str, files: Mapping[str, str | None], by: str = "ada") -> str:
        head = self.write(files)
        self.accept(f"+HEAD:refs/heads/draft/{name}", f"refs/heads/draft/{name}", head, by)
        return head

    def accept(self, refspec: str, ref: str, new: str, by: str) -> None:
        entry = {"old": self.repository.resolve(ref), "new": new, "how": "push"}
        self.note(AuditEntry(kind="ref.accepted", actor=by, at=now(), subject=ref, entry=entry))
        done = self.git("push", "--quiet", "origin", refspec)
        assert done.returncode == 0, done.stderr

    def note(self, entry: AuditEntry) -> None:
        with self.database.begin() as connection:
            audit.put(connection, [entry])

    # ── reviews ──────────────────────────────────────────────────────────────────────────────────

    def look(self) -> list[Job]:
        """Look once, and run what is to be checked."""
        jobs = self.reviews.look()
        for job in jobs:
            self.checking().run(job)
        return jobs

    def review(self, name: str) -> Review:
        with self.database.read() as connection:
            found = reviews.find_review(connection, name)
        assert found is not None
        return found

    def checks(self, name: str) -> dict[str, Check]:
        review = self.review(name)
        with self.database.read() as connection:
            found = reviews.checks(connection, review.draft_id, review.iteration)
        return {each.name: each for each in found}

    def statuses(self, name: str) -> dict[str, str]:
        return {each.name: each.status for each in self.checks(name).values()}

    def assess(self, name: str, actor: Principal = ADA) -> Assessment:
        main = self.repository.resolve(MAIN)
        assert main is not None
        return assess(
            gather(
                self.database,
                self.reconciler,
                self.merging,
                self.review(name),
                main=main,
                actor=actor,
                next_times=lambda _cron, _zone: (),
                now=now(),
            )
        )

    def told(self, *kinds: str) -> list[AuditEntry]:
        """The audit's entries of some kinds, the oldest first."""
        with self.database.read() as connection:
            found = audit.list_entries(connection, limit=1000, kinds=kinds)
        return found[::-1]

    def events(self, like: str) -> list[str]:
        with self.database.read() as connection:
            rows = connection.execute(
                text("SELECT event_name FROM events WHERE event_name LIKE :like ORDER BY event_id"),
                {"like": like},
            )
            return [name for (name,) in rows]


def run_of(world: ReviewWorld, actor: str) -> uuid.UUID:
    """A run that somebody caused; what it does is in the test's own hands."""
    compiled = compile_run(
        {"id": "bp.test", "plan": [{"id": "a", "kind": "transform", "set": {"x": 1}}]},
        path="blueprints/test.yaml",
        blob_id="b",
        files={},
        node=PlanNode(id="seed", env_id="local", stage="dev"),
        event=None,
        given={},
    )
    run = NewRun(
        run_id=uuid.uuid4(),
        name="test",
        blueprint_id="bp.test",
        revision="r1",
        plan=compiled.plan,
        plan_digest=compiled.digest,
        created_at=now(),
        actor=actor,
        correlation_id="c1",
        inputs={},
    )
    with world.database.begin() as connection:
        runs.insert_runs(connection, [run])
    return run.run_id


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 60
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
