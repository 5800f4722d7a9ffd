"""The log of a run where the bucket is away."""

import datetime as dt
import json
import uuid
from pathlib import Path
from typing import NoReturn

import pytest

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.run.run_log import RunLog
from xyn_reconciler.store.artifact_shelf import ShelfAwayError
from xyn_reconciler.store.artifacts import ArtifactStore


def away() -> NoReturn:
    raise ShelfAwayError("s3://artifacts does not answer")


def said(artifacts: ArtifactStore, log: RunLog, message: str) -> tuple[str, list[str]]:
    log.add(dt.datetime(2026, 11, 22, tzinfo=dt.UTC), None, message)
    stored = log.store(artifacts)
    assert stored is not None
    lines = artifacts.path(stored[0]).read_text().splitlines()
    return stored[0], [json.loads(line)["message"] for line in lines]


@pytest.mark.parametrize("last", [False, True])
def test_a_bucket_that_is_away_takes_no_log(tmp_path: Path, *, last: bool) -> None:
    artifacts = ArtifactStore(tmp_path, elsewhere=away)
    artifacts.prepare()
    run_id = uuid.uuid4()

    before, _ = said(artifacts, RunLog(run_id, "c", Redactor(), None), "one")
    log = RunLog(run_id, "c", Redactor(), before)
    log.last = last

    assert said(artifacts, log, "two")[1] == ["one", "two"]


def test_what_only_the_bucket_has_is_named_in_the_log_that_goes_on(tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path, elsewhere=away)
    artifacts.prepare()

    _, messages = said(artifacts, RunLog(uuid.uuid4(), "c", Redactor(), "a" * 64), "two")

    assert messages == [f"before this: {'a' * 64}, but s3://artifacts does not answer", "two"]
