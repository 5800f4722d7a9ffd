import datetime as dt
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from xyn_reconciler.model.capability import ActionSpec, Catalogue
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.reconcile.push import SHOWN, PushGate
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.service.triggers import foretold
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.push_hook import HookServer, hook_socket, install_hooks
from xyn_reconciler.trigger.intake import Intake

NOW = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
NODE = "id: seed\nenv_id: local\nmode: active\nstage: dev\n"
DISK = """\
id: bp.disk
triggers:
  - event_type: checkmk.alert
    match: {data.state: [CRIT, WARN]}
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
plan:
  - {id: note, kind: transform, set: {host: "{{ inputs.host }}"}}
"""
OTHER = "id: bp.other\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"
ANYBODY = """\
policy_id: 2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01
policy_type: governance
name: anybody
status: active
rules:
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d02
    match: {action: blueprint.promote}
    effect: allow
"""
CATALOGUE = Catalogue(
    {"ssh.run": ActionSpec("ssh.run", "Run a command.", {}, {}, idempotent=False, installed=False)}
)


@dataclass
class Pushed:
    ok: bool
    said: str


class World:
    """A node's reconciler with its hooks, and a person's clone."""

    def __init__(self, database: Database, repository: Repository, folder: Path) -> None:
        self.database = database
        self.repository = repository
        self.redactor = Redactor()
        self.intake = Intake(compile_run, self.redactor)
        with database.begin() as connection:
            desired.ensure_node(connection, "seed")
        self.reconciler = self.new_reconciler()
        self.principals = {"ticket-1": Principal("ada")}
        self.origin: str | None = None
        self.clone = folder / "clone"
        self.git("init", "--quiet", "--initial-branch=main", str(self.clone), cwd=folder)
        self.git("remote", "add", "origin", str(repository.path))

    def new_reconciler(self, catalogue: Catalogue = CATALOGUE) -> Reconciler:
        return Reconciler(self.database, self.repository, catalogue, self.intake.emit)

    def gate(self) -> PushGate:
        return PushGate(
            self.reconciler,
            self.repository,
            self.database,
            self.intake.emit,
            principal_of=self.principals.get,
            foresee=lambda document: foretold(document, NOW),
            announce=lambda _name, _head: (),
            knows=lambda: self.redactor.knows,
            origin=self.origin,
        )

    def git(
        self, *arguments: str, cwd: Path | None = None, ticket: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.clone.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.net",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.net",
        }
        if ticket is not None:  # the web process hands it to receive-pack like this
            environment["XYN_TICKET"] = ticket
        return subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, files: dict[str, str | None]) -> str:
        for path, content in files.items():
            place = self.clone / path
            if content is None:
                place.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(self, *refspecs: str, ticket: str | None = None) -> Pushed:
        wanted = refspecs or ("HEAD:main",)
        done = self.git("push", "--quiet", "origin", *wanted, ticket=ticket)
        said = "\n".join(
            line.removeprefix("remote: ").rstrip()
            for line in done.stderr.splitlines()
            if line.startswith("remote:")
        )
        return Pushed(done.returncode == 0, said)

    def emit(self, **data: Any) -> list[uuid.UUID]:  # noqa: ANN401 - an event's data
        event = Event(
            event_id=uuid.uuid4(),
            event_name="checkmk.alert",
            occurred_at=dt.datetime.now(dt.UTC),
            env_id="local",
            actor="ada",
            correlation_id="c",
            data=data,
        )
        with self.database.begin() as connection:
            return self.intake.take_in(connection, [event]).run_ids

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(question))]

    def node(self) -> desired.NodeState:
        with self.database.begin() as connection:
            return desired.read_node(connection)

    def condition(self, kind: str) -> tuple[bool, str, str]:
        found = next(each for each in self.node().conditions if each.type == kind)
        return found.status, found.reason, found.message

    def active(self) -> list[str]:
        with self.database.connect() as connection:
            return sorted(desired.blobs(connection))

    def names(self, like: str) -> list[str]:
        return [
            name
            for (name,) in self.ask(
                f"SELECT event_name FROM events WHERE event_name LIKE '{like}' ORDER BY event_name"  # noqa: S608 - from here
            )
        ]


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    """A node without its loop: each test says when a round is done."""
    return World(database, repository, tmp_path)


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[World]:
    """A node with its loop and its hooks."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    socket = hook_socket(run)
    install_hooks(world.repository, socket)
    stop = threading.Event()
    loop = threading.Thread(target=world.reconciler.run, args=(stop,))
    loop.start()
    try:
        with HookServer(
            socket,
            lambda request, say: world.gate()(request, say),  # noqa: PLW0108 - a gate per push: tests set its origin
            repository=world.repository,
        ):
            yield world
    finally:
        stop.set()
        loop.join()


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 60
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_a_push_is_active_when_it_returns_and_an_event_starts_its_run(served: World) -> None:
    revision = served.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})

    pushed = served.push()
    run_ids = served.emit(state="CRIT", host="db1")

    assert pushed.ok
    assert pushed.said == f"active: {revision}"
    assert served.node().last_applied_revision == revision
    assert served.condition("Ready") == (True, "Applied", f"revision {revision[:12]} is active")
    assert served.ask("SELECT run_id, blueprint_id, revision FROM runs") == [
        (run_ids[0], "bp.disk", revision)
    ]
    assert served.names("xyn.reconcile.%") == ["xyn.reconcile.started", "xyn.reconcile.succeeded"]
    assert served.names("xyn.blueprint.%") == ["xyn.blueprint.activated"]
    assert served.ask(
        "SELECT data->>'ref', actor FROM events WHERE event_name = 'xyn.git.pushed'"
    ) == [("refs/heads/main", "operator")]


def test_a_bad_push_shows_every_problem_and_nothing_moves(served: World) -> None:
    good = served.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    served.push()
    served.write(
        {
            "blueprints/disk.yaml": DISK.replace("inputs.host", "inputs.hots"),
            "blueprints/other.yaml": OTHER.replace("kind: transform", "kind: transfrom"),
        }
    )

    refused = served.push()

    assert not refused.ok
    lines = refused.said.splitlines()
    assert lines[0].startswith("blueprints/disk.yaml:8:")
    assert "did you mean" in lines[0]
    assert any(line.startswith("blueprints/other.yaml:3:") for line in lines)
    assert lines[-1] == f"{len(lines) - 1} problems in 2 files; main was not moved"
    assert served.repository.resolve(MAIN) == good
    assert served.node().last_attempted_revision == good
    assert served.names("xyn.git.refused") == ["xyn.git.refused"]
    served.write({"blueprints/disk.yaml": DISK, "blueprints/other.yaml": OTHER})
    assert served.push().ok


def test_only_what_changed_is_applied_and_what_vanished_is_retired(served: World) -> None:
    served.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK, "blueprints/other.yaml": OTHER})
    served.push()
    first = served.node().last_applied_revision
    second = served.write({"blueprints/disk.yaml": None, "notes.txt": "not a document"})

    served.push()

    assert served.active() == ["blueprints/other.yaml", "node.yaml"]
    assert served.ask("SELECT path, revision FROM documents ORDER BY path") == [
        ("blueprints/disk.yaml", second),
        ("blueprints/other.yaml", first),
        ("node.yaml", first),
    ]
    assert served.names("xyn.blueprint.retired") == ["xyn.blueprint.retired"]
    assert served.emit(state="CRIT", host="db1") == []


def test_main_is_not_forced_deleted_or_given_odd_names(served: World) -> None:
    served.write({"node.yaml": NODE})
    served.push()
    served.git("commit", "--amend", "--quiet", "-m", "another")

    forced = served.push("+HEAD:main")
    deleted = served.push(":main")
    records = served.push("HEAD:refs/xyn/runs/seed/2026-01")
    stray = served.push("HEAD:refs/heads/feature")
    (served.clone / "link").symlink_to("node.yaml")
    served.write({})
    served.git("reset", "--quiet", "--soft", "origin/main")
    served.write({})
    link = served.push()

    assert [each.ok for each in (forced, deleted, records, stray, link)] == [False] * 5
    assert "force" in forced.said
    assert "deleted" in deleted.said
    assert "draft/feature" in stray.said
    assert "link:1:1:" in link.said


def test_a_push_that_holds_a_secret_anywhere_is_not_taken(served: World) -> None:
    """What came into the repository would stay in its history."""
    served.redactor.learn(["hunter2-hunter2"])
    served.write({"docs/a.md": "fine"})
    said = []
    for amend in (
        ("-m", "in base64: aHVudGVyMi1odW50ZXIy"),
        ("-m", "fine", "--author", "hunter2-hunter2 <ada@example.net>"),
        ("--no-edit", "--author", "Ada <hunter2-hunter2@example.net>"),
    ):
        served.git("commit", "--quiet", "--amend", *amend)
        said += [served.push(ref).said for ref in ("HEAD:main", "HEAD:refs/heads/draft/a")]
    served.git("commit", "--quiet", "--amend", "--no-edit", "--reset-author")
    branch = served.push("HEAD:refs/heads/draft/hunter2-hunter2")
    served.write({"docs/hunter2-hunter2.md": "fine", "docs/b.md": "hunter2-hunter2"})
    files = served.push()

    assert [each.count("the message or author of commit") for each in said] == [1] * 6
    assert "the name of this branch holds a secret" in branch.said
    assert "the name of a file in commit" in files.said
    assert "docs/b.md:1:1: literal_secret: this file" in files.said
    assert served.repository.refs("refs/") == {}


def test_a_draft_is_taken_and_told_what_is_wrong_with_it(served: World) -> None:
    main = served.write({"node.yaml": NODE})
    served.push()
    served.write({"blueprints/disk.yaml": DISK.replace("id: bp.disk", "idd: bp.disk")})

    draft = served.push("HEAD:refs/heads/draft/disk")

    assert draft.ok
    assert "blueprints/disk.yaml:1:1:" in draft.said
    assert "draft/disk: validated with remarks" in draft.said
    assert served.repository.resolve(MAIN) == main
    assert served.push(":refs/heads/draft/disk").ok


def test_a_draft_shows_when_its_schedules_would_fire_on_the_clock_of_their_zone(
    served: World,
) -> None:
    nightly = """\
id: bp.nightly
triggers:
  - schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
plan: [{id: a, kind: transform, set: {x: 1}}]
"""
    broken = nightly.replace("bp.nightly", "bp.broken").replace("30 2 *", "30 25 *")
    served.write({"node.yaml": NODE})
    served.push()
    served.write({"blueprints/nightly.yaml": nightly, "blueprints/broken.yaml": broken})

    draft = served.push("HEAD:refs/heads/draft/nightly")

    (told,) = [line for line in draft.said.splitlines() if "bp.nightly" in line]
    # 02:30 does not exist on the 29th: the clock leaps from 02:00 to 03:00.
    assert told == (
        "bp.nightly: 30 2 * * * Europe/Berlin: next 2026-03-29 03:00+02:00,"
        " 2026-03-30 02:30+02:00, 2026-03-31 02:30+02:00, 2026-04-01 02:30+02:00,"
        " 2026-04-02 02:30+02:00"
    )
    assert "blueprints/broken.yaml:3:" in draft.said


def test_what_is_printed_ends_after_a_screen(served: World) -> None:
    files: dict[str, str | None] = {f"blueprints/b{n}.yaml": f"idd: b{n}\n" for n in range(60)}
    served.write({"node.yaml": NODE, **files})

    refused = served.push()

    lines = refused.said.splitlines()
    assert len(lines) == SHOWN + 2
    assert lines[-2].startswith("... and ")
    assert "problems in 60 files; main was not moved" in lines[-1]


def test_a_node_that_follows_takes_no_pushes_to_main(served: World) -> None:
    served.write({"node.yaml": NODE})
    served.push()
    served.origin = "https://git.example.net/state.git"
    served.write({"blueprints/other.yaml": OTHER})

    followed = served.push()
    draft = served.push("HEAD:refs/heads/draft/x")
    served.origin = None
    alone = served.push()

    assert not followed.ok
    assert "follows https://git.example.net/state.git" in followed.said
    assert draft.ok
    assert alone.ok


def test_on_stage_prod_main_takes_no_push_without_a_principal(served: World) -> None:
    served.write(
        {"node.yaml": NODE.replace("stage: dev", "stage: prod"), "policies/p.yaml": ANYBODY}
    )
    served.push()
    served.write({"blueprints/other.yaml": OTHER})

    refused = served.push()
    unknown = served.push(ticket="ticket-2")
    known = served.push(ticket="ticket-1")

    assert not refused.ok
    assert "stage prod" in refused.said
    assert not unknown.ok
    assert "ticket" in unknown.said
    assert known.ok
    assert served.ask(
        "SELECT event_name, actor FROM events WHERE event_name LIKE 'xyn.git.%' ORDER BY created_at"
    ) == [
        ("xyn.git.pushed", "operator"),
        ("xyn.git.refused", "operator"),
        ("xyn.git.pushed", "ada"),
    ]


def test_main_that_is_moved_behind_the_hooks_is_noticed_and_bad_content_not_applied(
    served: World,
) -> None:
    good = served.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    served.push()
    bad = served.repository.commit_files(
        MAIN,
        expected=good,
        changes={"blueprints/bad.yaml": b"idd: x\n"},
        message="by hand",
        author="Eve <eve@example.net>",
        now=dt.datetime.now(dt.UTC),
    )

    assert eventually(lambda: served.node().last_attempted_revision == bad)
    assert served.node().last_applied_revision == good
    assert served.condition("Ready")[:2] == (False, "ValidationFailed")
    status, _, message = served.condition("Stalled")
    assert status
    assert "blueprints/bad.yaml:1:" in message
    assert served.names("xyn.reconcile.failed") == ["xyn.reconcile.failed"]
    assert len(served.emit(state="CRIT", host="db1")) == 1
    mended = served.repository.commit_files(
        MAIN,
        expected=bad,
        changes={"blueprints/bad.yaml": None},
        message="mend",
        author="Eve <eve@example.net>",
        now=dt.datetime.now(dt.UTC),
    )
    assert eventually(lambda: served.node().last_applied_revision == mended)
    assert served.condition("Ready")[0]


def test_a_refused_revision_is_told_once_however_often_it_is_looked_at(world: World) -> None:
    bad = world.write({"node.yaml": "id: [\n"})
    world.push()

    for _ in range(3):
        world.reconciler.reconcile(everything=True)
    world.new_reconciler().reconcile(everything=True)

    assert world.node().last_attempted_revision == bad
    assert world.names("xyn.reconcile.%") == ["xyn.reconcile.failed", "xyn.reconcile.started"]


def test_main_that_was_rewound_by_hand_is_followed_all_the_same(world: World) -> None:
    first = world.write({"node.yaml": NODE, "blueprints/other.yaml": OTHER})
    second = world.write({"blueprints/other.yaml": None, "blueprints/disk.yaml": DISK})
    world.push()
    world.reconciler.reconcile()

    world.repository.update_ref(MAIN, expected=second, new=first)
    world.reconciler.reconcile()

    assert world.active() == ["blueprints/other.yaml", "node.yaml"]
    assert world.node().last_applied_revision == first


def test_drift_is_mended_by_a_full_round(world: World) -> None:
    world.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK, "blueprints/other.yaml": OTHER})
    world.push()
    world.reconciler.reconcile()
    with world.database.begin() as connection:
        connection.execute(
            text("UPDATE documents SET status = 'retired' WHERE path = 'blueprints/disk.yaml'")
        )
        connection.execute(
            text("UPDATE documents SET blob_id = 'x' WHERE path = 'blueprints/other.yaml'")
        )

    world.reconciler.reconcile()
    unnoticed = world.active()
    world.reconciler.reconcile(everything=True)

    assert unnoticed == ["blueprints/other.yaml", "node.yaml"]
    assert world.active() == ["blueprints/disk.yaml", "blueprints/other.yaml", "node.yaml"]
    assert world.ask("SELECT count(*) FROM documents WHERE blob_id = 'x'") == [(0,)]
    assert len(world.emit(state="CRIT", host="a")) == 1


def test_a_second_process_starts_from_the_rows_and_sees_what_the_first_applied(
    world: World,
) -> None:
    world.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    world.push()
    world.reconciler.reconcile()
    world.write({"prompts/fix.md": "{{ inputs.host }}\n", "blueprints/disk.yaml": DISK + "\n"})
    world.push()

    other = world.new_reconciler()
    other.reconcile()
    world.write({"blueprints/other.yaml": OTHER})
    world.push()
    world.reconciler.reconcile()

    assert world.node().applied_sequence == 3
    assert world.active() == [
        "blueprints/disk.yaml",
        "blueprints/other.yaml",
        "node.yaml",
        "prompts/fix.md",
    ]
    preview = other.preview()
    assert preview is not None
    assert list(preview.changes) == []


def test_two_blueprints_may_swap_their_files_and_a_moved_one_is_not_retired(world: World) -> None:
    world.write({"node.yaml": NODE, "blueprints/a.yaml": DISK, "blueprints/b.yaml": OTHER})
    world.push()
    world.reconciler.reconcile()

    world.write({"blueprints/a.yaml": OTHER, "blueprints/b.yaml": DISK})
    world.push()
    world.reconciler.reconcile()
    world.write({"blueprints/b.yaml": None, "blueprints/team/c.yaml": DISK})
    world.push()
    world.reconciler.reconcile()

    assert world.names("xyn.blueprint.retired") == []
    assert len(world.emit(state="CRIT", host="a")) == 1
    assert world.ask(
        "SELECT path, document_id FROM documents WHERE status = 'active' AND kind = 'blueprint'"
        " ORDER BY path"
    ) == [("blueprints/a.yaml", "bp.other"), ("blueprints/team/c.yaml", "bp.disk")]


def test_dry_run_says_what_a_round_then_does(world: World) -> None:
    world.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    world.push()

    preview = world.reconciler.preview()
    nothing = world.active()
    done = world.reconciler.reconcile()

    assert preview is not None
    assert done is not None
    assert nothing == []
    assert [str(change) for change in preview.changes] == [
        "activate blueprints/disk.yaml",
        "activate node.yaml",
    ]
    assert preview.changes == done.changes


def test_suspending_is_a_commit(world: World) -> None:
    world.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    world.push()
    world.reconciler.reconcile()
    before = world.emit(state="CRIT", host="a")
    world.write({"node.yaml": NODE.replace("mode: active", "mode: suspended")})
    world.push()
    world.reconciler.reconcile()

    assert len(before) == 1
    assert world.emit(state="CRIT", host="a") == []
    assert world.node().settings["mode"] == "suspended"


def test_a_blueprint_that_cannot_run_here_is_active_and_says_so(world: World) -> None:
    runs_ssh = OTHER.replace(
        "{id: a, kind: transform, set: {x: 1}}",
        "{id: a, kind: action_task, action: ssh.run, with: {host: a, argv: [ls]}}",
    )
    world.write({"node.yaml": NODE, "blueprints/other.yaml": runs_ssh})
    world.push()
    world.reconciler.reconcile()

    def not_runnable() -> list[str]:
        with world.database.connect() as connection:
            found = desired.find_document(connection, "blueprint", "bp.other")
        assert found is not None
        return [each.type for each in found.conditions]

    before = not_runnable()
    spec = ActionSpec("ssh.run", "Run a command.", {}, {}, idempotent=False)
    world.new_reconciler(Catalogue({"ssh.run": spec})).reconcile(everything=True)

    assert before == ["NotRunnable"]
    assert not_runnable() == []


def test_a_repository_without_a_commit_is_not_ready_and_says_why(world: World) -> None:
    assert world.reconciler.reconcile() is None
    assert world.condition("Ready") == (False, "NoRevision", "main has no commit yet")

    world.write({"node.yaml": NODE})
    world.push()
    world.reconciler.reconcile()

    assert world.condition("Ready")[0]
    assert not world.condition("Stalled")[0]


def test_a_condition_that_nothing_justifies_any_more_is_taken_back_by_a_full_round(
    world: World,
) -> None:
    world.write({"node.yaml": NODE})
    world.push()
    world.reconciler.reconcile()
    now = dt.datetime.now(dt.UTC)
    with world.database.begin() as connection:
        desired.set_condition(connection, Condition("Stalled", True, "Error", "once", now))  # noqa: FBT003 - its status

    world.reconciler.reconcile(everything=True)

    assert world.condition("Stalled")[:2] == (False, "Applied")


def test_a_damaged_revision_stalls_the_loop_and_the_next_one_mends_it(served: World) -> None:
    good = served.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    served.push()
    (served.repository.path / "refs" / "heads" / "main").write_text("1" * 40 + "\n")

    assert eventually(lambda: served.condition("Stalled")[0])
    assert len(served.emit(state="CRIT", host="db1")) == 1
    (served.repository.path / "refs" / "heads" / "main").write_text(good + "\n")
    revision = served.write({"blueprints/other.yaml": OTHER})
    assert served.push().said == f"active: {revision}"
    assert served.condition("Ready")[0]


def test_one_of_two_loops_reconciles(served: World) -> None:
    stop = threading.Event()
    second = served.new_reconciler()
    loop = threading.Thread(target=second.run, args=(stop,))
    loop.start()
    try:
        for n in range(3):
            served.write({"node.yaml": NODE, "notes.txt": str(n)})
            assert served.push().ok
    finally:
        stop.set()
        loop.join()

    assert served.names("xyn.reconcile.succeeded") == ["xyn.reconcile.succeeded"] * 3


def test_a_repository_that_stands_in_anothers_place_is_taken_whole(
    world: World, tmp_path: Path
) -> None:
    world.write({"node.yaml": NODE, "blueprints/disk.yaml": DISK})
    world.push()
    world.reconciler.reconcile()

    other = Repository.create(tmp_path / "other.git")
    revision = other.commit_files(
        MAIN,
        expected=None,
        changes={"node.yaml": NODE.encode(), "blueprints/other.yaml": OTHER.encode()},
        message="another",
        author="Eve <eve@example.net>",
        now=dt.datetime.now(dt.UTC),
    )
    Reconciler(world.database, other, CATALOGUE, world.intake.emit).reconcile()

    assert world.active() == ["blueprints/other.yaml", "node.yaml"]
    assert world.node().last_applied_revision == revision
