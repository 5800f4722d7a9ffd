"""A step finds what its run kept; of what others kept the rules are asked."""

import dataclasses
import datetime as dt
import uuid
from dataclasses import dataclass

import pytest

from tests.integration.review.review_world import POLICY, ReviewWorld, now, run_of
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import DeniedError, NotFoundError
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.model.run import step_id
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.service.run_events import find_artifact_of_run
from xyn_reconciler.store import artifact_rows
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.intake import Intake

DENY = """\
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d06
    priority: 900
    match: {action: records.read, actor: ["principal:bot"]}
    effect: deny
"""


@dataclass
class Lent:
    """What a worker has of a node."""

    database: Database
    intake: Intake

    def clock(self) -> dt.datetime:
        return now()


def kept(world: ReviewWorld, run_id: uuid.UUID, name: str = "found.json") -> uuid.UUID:
    artifact = Artifact(
        artifact_id=new_id(),
        name=name,
        kind="output",
        content_type="application/json",
        created_at=now(),
        created_by="system",
        byte_length=1,
        run_id=run_id,
        step_id=step_id(run_id, "keep"),
        sha256="0" * 64,
    )
    with world.database.begin() as connection:
        artifact_rows.insert_artifact(connection, artifact)
        artifact_rows.insert_artifact(
            connection, dataclasses.replace(artifact, artifact_id=new_id(), name="other")
        )
    return artifact.artifact_id


def test_the_newest_of_a_step_and_name_is_found_and_another_run_is_a_matter_of_policy(
    world: ReviewWorld,
) -> None:
    world.begin(**{"policies/two.yaml": POLICY + DENY})
    lent = Lent(world.database, Intake(compile_run, Redactor()))
    ours, by_ada = run_of(world, "bot"), run_of(world, "ada")
    kept(world, ours)
    newest, theirs = kept(world, ours), kept(world, by_ada)

    def find(reader: uuid.UUID, of: uuid.UUID, step: str = "keep") -> uuid.UUID:
        return find_artifact_of_run(
            lent, artifact_id=None, run_id=of, step=step, name="found.json", reader=reader
        )

    assert find(ours, ours) == newest
    assert find(by_ada, ours) == newest
    assert find(by_ada, by_ada) == theirs
    with pytest.raises(DeniedError, match="bot may not read what other runs kept"):
        find(ours, by_ada)
    with pytest.raises(DeniedError):
        find_artifact_of_run(
            lent, artifact_id=theirs, run_id=ours, step=None, name=None, reader=ours
        )
    with pytest.raises(NotFoundError):
        find(ours, ours, step="nothing")
