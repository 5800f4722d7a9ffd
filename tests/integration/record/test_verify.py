"""``xynctl verify``: an honest life is whole, and each way of tampering with it is found."""

import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.record.record_world import AUTHOR, World
from tests.integration.record.test_clones import cloned, follower, living
from tests.integration.record.test_forget import forget_it
from tests.integration.record.test_forget import happen as happen_with_a_word
from xyn_reconciler.model.audit import AuditEntry, line_digest
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.record import checkpoint
from xyn_reconciler.record.audit import ACCEPTED, append_audit, begin_log
from xyn_reconciler.record.checkpoint import Checkpoint
from xyn_reconciler.record.verify import Finding, Verified, verify
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository

AUDIT = "refs/xyn/audit/seed"
DRAFT = "refs/heads/draft/night"


class Life:
    """A node that notes what it does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.repository = world.repository
        with world.database.begin() as connection:
            begin_log(connection, world.repository, now=world.now())

    def move(self, ref: str, text: str) -> str:
        """As a push does: noted, moved, told."""
        old = self.repository.resolve(ref)
        base = old or self.repository.resolve(MAIN)
        assert base is not None
        tree = self.repository.commit(base).tree
        new = self.write(tree, base, text)
        self.world.decide(ACCEPTED, ref, old=old, new=new, how="push")
        self.repository.update_ref(ref, expected=old, new=new)
        self.world.reconciler.reconcile()
        return new

    def write(self, tree: str, parent: str, text: str) -> str:
        return self.repository.write_commit(
            tree=tree, parents=[parent], message=text, author=AUTHOR, now=self.world.now()
        )

    def checkpoint(self) -> Checkpoint | None:
        self.world.committer.drain()
        taken = checkpoint.take(self.world.database, self.repository, "seed", now=self.world.now())
        self.world.committer.drain()
        return taken

    def verify(self, against: Checkpoint | None = None) -> Verified:
        # A fresh one: the world's remembers what it read before somebody tampered.
        return verify(
            Repository.open(self.repository.path),
            node_id="seed",
            artifacts=self.world.artifacts,
            against=against,
            lag=0.0,
        )

    def findings(self, against: Checkpoint | None = None) -> list[Finding]:
        return self.verify(against).findings

    @property
    def month(self) -> str:
        (ref,) = self.repository.refs("refs/xyn/runs/seed/")
        return ref

    def rewrite(self, ref: str, change: Callable[[bytes], bytes]) -> str:
        """Write a chain anew with other contents, its messages and times as they were."""
        new: str | None = None
        for sha in self.world.git("rev-list", "--reverse", ref).split():
            commit = self.repository.commit(sha)
            old_parent = commit.parents[0] if commit.parents else None
            files = {
                each.text: change(self.repository.read(each.new_blob))
                for each in self.repository.changes(old_parent, sha)
                if each.text is not None and each.new_blob is not None
            }
            new = self.repository.commit_files(
                "refs/scratch/forged",
                expected=new,
                changes=files,
                message=commit.message,
                author=commit.author,
                now=commit.committed_at,
            )
        self.world.git("update-ref", ref, str(new))
        self.world.git("update-ref", "-d", "refs/scratch/forged")
        return str(new)


@pytest.fixture
def life(world: World) -> Life:
    """Some pushes, a draft, runs, and a checkpoint after them."""
    life = Life(world)
    world.happen()
    life.move(MAIN, "One")
    life.move(DRAFT, "Night")
    world.happen("deploy.wanted", data={"what": "v2"})
    world.committer.drain()
    life.checkpoint()
    life.move(MAIN, "Two")
    life.move(DRAFT, "Night again")
    world.happen()
    world.committer.drain()
    return life


def only(life: Life, against: Checkpoint | None = None) -> Finding:
    (found,) = life.findings(against)
    return found


def test_an_honest_life_is_whole(life: Life) -> None:
    kept = life.checkpoint()
    done = life.verify(kept)

    assert done.findings == []
    assert done.notes == []
    assert (done.entries, done.commits > 4, done.records > 3) == (7, True, True)


def test_a_move_that_was_noted_and_lost_a_race_is_no_fault(life: Life) -> None:
    tip = life.repository.resolve(MAIN)
    life.world.decide(ACCEPTED, MAIN, old=tip, new="f" * 40, how="push")
    life.world.committer.drain()

    assert life.findings() == []


def test_main_moved_by_hand_is_found(life: Life) -> None:
    tip = str(life.repository.resolve(MAIN))
    forged = life.write(life.repository.commit(tip).tree, tip, "Forged")
    life.world.git("update-ref", MAIN, forged)

    found = only(life)

    assert (found.ref, found.commit) == (MAIN, forged)
    assert "nobody accepted" in found.wrong
    assert "start it once" in found.remedy


def test_a_push_on_top_of_a_main_that_was_moved_by_hand_does_not_hide_it(life: Life) -> None:
    tip = str(life.repository.resolve(MAIN))
    forged = life.write(life.repository.commit(tip).tree, tip, "Forged")
    life.world.git("update-ref", MAIN, forged)
    life.move(MAIN, "Honest")
    life.world.committer.drain()

    found = only(life)

    assert found.ref == MAIN
    assert f"it was at {forged}" in found.wrong


@pytest.mark.parametrize("steps", [1, 2])
def test_main_moved_back_by_hand_is_found(life: Life, steps: int) -> None:
    tip = life.repository.resolve(MAIN)
    life.world.git("update-ref", MAIN, f"{MAIN}~{steps}")

    found = only(life)

    assert found.ref == MAIN
    assert "moved it back" in found.wrong
    if steps == 1:
        assert found.commit == tip


def test_main_taken_away_is_found(life: Life) -> None:
    life.world.git("update-ref", "-d", MAIN)

    assert any(each.ref == MAIN and "gone" in each.wrong for each in life.findings())


def test_a_draft_moved_by_hand_is_found(life: Life) -> None:
    life.world.git("update-ref", DRAFT, str(life.repository.resolve(MAIN)))

    assert only(life).ref == DRAFT


def test_a_record_that_was_edited_and_its_month_written_anew_is_found(life: Life) -> None:
    life.rewrite(life.month, lambda content: content.replace(b"db1", b"db2"))

    found = only(life)

    assert found.ref == life.month
    assert "the audit has seen" in found.wrong


def test_a_month_that_was_taken_away_is_found(life: Life) -> None:
    month = life.month
    life.world.git("update-ref", "-d", month)

    assert month in [each.ref for each in life.findings()]


def test_a_record_that_was_edited_by_a_further_commit_is_found(life: Life) -> None:
    path = next(path for path, _ in life.repository.walk_records(life.month))
    life.repository.commit_files(
        life.month,
        expected=life.repository.resolve(life.month),
        changes={path: b'{"kind":"plan"}\n'},
        message="Record\n\nNothing: here\n",
        author=AUTHOR,
        now=life.world.now(),
    )

    found = only(life)

    assert found.ref == life.month
    assert found.commit == life.repository.resolve(life.month)
    assert f"it changes {path}" in found.wrong


def test_a_segment_that_was_deleted_is_found(life: Life) -> None:
    path = next(path for path, _ in life.repository.walk_records(life.month))
    life.repository.commit_files(
        life.month,
        expected=life.repository.resolve(life.month),
        changes={path: None},
        message="Record\n\nNothing: here\n",
        author=AUTHOR,
        now=life.world.now(),
    )

    assert f"it changes {path}" in only(life).wrong


def test_a_commit_that_names_a_segment_which_it_has_not_is_found(life: Life) -> None:
    life.repository.append_records(
        life.month,
        expected=life.repository.resolve(life.month),
        files={"other": b""},
        message="Record\n\nSegment: other\nSegment: lost\n",
        author=AUTHOR,
        now=life.world.now(),
    )

    assert "the segment lost" in only(life).wrong


def edited(content: bytes) -> bytes:
    return content.replace(b'"actor":"ada"', b'"actor":"eve"')


def dropped(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[:1] + lines[2:])


def turned(content: bytes) -> bytes:
    return b"".join(reversed(content.splitlines(keepends=True)))


def doubled(content: bytes) -> bytes:
    return content + content.splitlines(keepends=True)[-1]


@pytest.mark.parametrize("tamper", [edited, dropped, turned, doubled])
def test_an_audit_whose_lines_were_tampered_with_is_found(
    life: Life, tamper: Callable[[bytes], bytes]
) -> None:
    life.rewrite(AUDIT, tamper)

    assert {each.ref for each in life.findings()} >= {AUDIT}


def test_an_audit_that_was_cut_off_is_found_by_the_moves_that_it_lacks(life: Life) -> None:
    life.world.git("update-ref", AUDIT, f"{AUDIT}~1")

    assert {each.ref for each in life.findings()} == {MAIN, DRAFT}


def test_an_audit_that_was_taken_away_is_found(life: Life) -> None:
    life.world.git("update-ref", "-d", AUDIT)

    found = only(life)

    assert found.ref == AUDIT
    assert "took the audit away" in found.remedy


def forge_everything(life: Life) -> None:
    """Write the chain anew, every digest as it should be: what the chain cannot show."""
    entries = [
        json.loads(line)
        for sha in life.world.git("rev-list", "--reverse", AUDIT).split()
        for path in life.repository.commit(sha).trailer_values("Segment")
        for line in (life.repository.read_path(AUDIT, path) or b"").splitlines()
    ]
    life.world.git("update-ref", "-d", AUDIT)
    append_audit(
        life.repository,
        "seed",
        [
            AuditEntry(
                kind=each["what"],
                actor="eve" if each["actor"] == "ada" else each["actor"],
                at=dt.datetime.fromisoformat(each["at"]),
                subject=each["subject"],
                entry=each["entry"],
            )
            for each in entries
        ],
        now=life.world.now(),
        redactor=life.world.redactor,
    )


def test_an_audit_written_anew_as_a_whole_is_found_by_a_checkpoint_that_somebody_kept(
    life: Life,
) -> None:
    kept = life.checkpoint()
    assert kept is not None
    assert life.findings(checkpoint.parse(kept.line())) == []

    forge_everything(life)

    assert life.findings() == []
    found = only(life, kept)
    assert found.ref == AUDIT
    assert f"line {kept.audit.sequence} had {kept.audit.digest}" in found.wrong


def test_main_and_records_written_anew_are_found_by_a_checkpoint_that_somebody_kept(
    life: Life,
) -> None:
    kept = life.checkpoint()
    life.rewrite(life.month, lambda content: content.replace(b"db1", b"db2"))
    life.world.git("update-ref", MAIN, f"{MAIN}~1")

    refs = [each.ref for each in life.findings(kept)]

    assert "refs/xyn/runs/seed" in refs
    assert refs.count(MAIN) == 2


def test_an_object_that_is_damaged_is_named_with_its_ref_and_commit(life: Life) -> None:
    path = next(path for path, _ in life.repository.walk_records(life.month))
    blob = life.world.git("rev-parse", f"{life.month}:{path}").strip()
    objects = life.repository.path / "objects"
    for pack in objects.rglob("*.pack"):
        moved = pack.rename(life.repository.path / pack.name)
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as file:
            subprocess.run(
                ["git", "-C", str(life.repository.path), "unpack-objects", "-q"],
                stdin=file,
                check=True,
            )
        moved.unlink()
    loose = objects / blob[:2] / blob[2:]
    loose.chmod(0o600)
    loose.write_bytes(b"rubbish")

    found = life.findings()

    assert any(each.ref == life.month and each.commit and path in each.wrong for each in found), (
        found
    )


def test_an_artifact_whose_bytes_changed_is_found_and_one_that_is_away_is_told(
    life: Life,
) -> None:
    rows = life.world.ask("SELECT DISTINCT sha256 FROM artifacts WHERE sha256 IS NOT NULL")
    assert rows, "the world makes artifacts"
    content = life.world.artifacts.path(rows[0][0])
    content.chmod(0o600)
    content.write_bytes(b"other")

    assert "an artifact is not what its record says" in only(life).wrong

    content.unlink()
    done = life.verify()
    assert done.findings == []
    assert done.notes == ["the bytes of 1 artifacts that records name are not in this home"]


def test_a_month_that_was_written_anew_to_forget_an_event_is_whole(world: World) -> None:
    life = Life(world)
    event_id, _ = happen_with_a_word(world)
    world.committer.drain()
    kept = life.checkpoint()
    forget_it(world, event_id)
    life.checkpoint()
    world.happen()
    world.committer.drain()

    done = life.verify(kept)

    assert done.findings == []
    assert ["forgotten since" in note for note in done.notes] == [True]


def test_a_plain_mirror_is_verified_by_the_audit_that_came_with_it(
    life: Life, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror.git"
    subprocess.run(
        ["git", "clone", "-q", "--mirror", str(life.repository.path), str(mirror)], check=True
    )
    repository = Repository.open(mirror)

    assert verify(repository, lag=0.0).findings == []

    subprocess.run(["git", "-C", str(mirror), "update-ref", MAIN, f"{MAIN}~1"], check=True)
    assert [each.ref for each in verify(Repository.open(mirror), lag=0.0).findings] == [MAIN]


def test_entries_that_are_older_than_the_chain_are_told_and_no_fault(world: World) -> None:
    world.repository.append_records(
        AUDIT,
        expected=None,
        files={"2026-10/a.jsonl": b'{"kind":"event.forget","by":"ada"}\n'},
        message="Audit event.forget\n\nSegment: 2026-10/a.jsonl\n",
        author=AUTHOR,
        now=world.now(),
    )
    life = Life(world)
    world.committer.drain()
    world.rebuild()

    done = life.verify()

    assert done.findings == []
    assert done.entries == 1
    assert done.notes == [f"{AUDIT}: 1 entries are older than the chain"]


def test_what_is_noted_late_is_waited_for(life: Life) -> None:
    """The ref has moved, its entry is not in Git yet: the second look finds it."""
    life.move(MAIN, "Three")
    told: list[str] = []

    def drain_meanwhile(said: str) -> None:
        if said.startswith("verifying every"):
            life.world.committer.drain()
        told.append(said)

    done = verify(
        Repository.open(life.repository.path), node_id="seed", progress=drain_meanwhile, lag=0.0
    )

    assert done.findings == []
    assert "refs moved meanwhile: looking again" in told


def test_a_checkpoint_says_where_everything_stands_once(life: Life) -> None:
    kept = life.checkpoint()
    assert kept is not None

    assert checkpoint.parse(kept.line()) == kept
    assert kept.line().startswith(f"Checkpoint: seed main {life.repository.resolve(MAIN)} audit ")
    assert kept.records == (life.repository.resolve(life.month),)
    assert life.checkpoint() is None
    assert line_digest(last_line_of(life, kept.audit.sequence)) == kept.audit.digest


def last_line_of(life: Life, sequence: int) -> str:
    return next(
        line
        for _, content in life.repository.walk_records(AUDIT)
        for line in content.decode().splitlines()
        if json.loads(line)["sequence"] == sequence
    )


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(InvalidError, match="this is no checkpoint"):
        checkpoint.parse("Checkpoint: seed main abc")


def test_a_clone_that_follows_is_whole_also_where_its_origin_forgot_an_event(
    world: World, new_database: Callable[[], Database], tmp_path: Path
) -> None:
    life = Life(world)
    event_id, _ = happen_with_a_word(world)
    world.committer.drain()
    life.checkpoint()
    home = cloned(world, tmp_path / "second")
    other = living(home, new_database(), tmp_path / "second-node")
    with other.database.begin() as connection:
        begin_log(connection, other.repository, now=other.now())
    life.move(MAIN, "More")
    forget_it(world, event_id)
    world.committer.drain()
    life.checkpoint()

    follower(other, world).look()
    other.reconciler.reconcile()
    other.committer.drain()

    assert other.repository.resolve(MAIN) == world.repository.resolve(MAIN)
    done = verify(Repository.open(home.repository), node_id=home.node_id(), lag=0.0)
    assert done.findings == []
    assert done.notes == []


@pytest.fixture
def key(tmp_path: Path) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here")
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


def accepted(life: Life, commit: str) -> str:
    old = life.repository.resolve(MAIN)
    life.world.decide(ACCEPTED, MAIN, old=old, new=commit, how="push")
    life.repository.update_ref(MAIN, expected=old, new=commit)
    life.world.committer.drain()
    return commit


def test_a_signature_that_does_not_fit_what_it_signs_is_found(life: Life, key: Path) -> None:
    public = key.with_suffix(".pub").read_text()
    listed = life.repository.commit_files(
        "refs/scratch/signers",
        expected=None,
        changes={"allowed_signers": f"ada@example.net {public}".encode()},
        message="Allow Ada\n",
        author=AUTHOR,
        now=life.world.now(),
    )
    tree = life.repository.commit(listed).tree
    before = life.write(tree, str(life.repository.resolve(MAIN)), "Allow Ada")
    accepted(life, before)
    life.world.git("update-ref", "-d", "refs/scratch/signers")
    signed = life.world.git(
        *("-c", "user.name=Ada", "-c", "user.email=ada@example.net"),
        *("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"),
        *("commit-tree", "-S", "-p", before, "-m", "Signed", tree),
    ).strip()
    accepted(life, signed)

    assert life.verify().findings == []
    assert life.verify().notes == []

    forged = subprocess.run(
        [
            *("git", "-C", str(life.repository.path)),
            *("hash-object", "-t", "commit", "-w", "--stdin"),
        ],
        input=life.world.git("cat-file", "commit", signed).replace("\nSigned", "\nForged"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    old = life.repository.resolve(MAIN)
    life.world.decide(ACCEPTED, MAIN, old=before, new=forged, how="push")
    life.world.git("update-ref", MAIN, forged, str(old))
    life.world.committer.drain()

    found = only(life)

    assert (found.ref, found.commit) == (MAIN, forged)
    assert "signature" in found.wrong
