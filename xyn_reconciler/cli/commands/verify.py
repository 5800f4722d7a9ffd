"""``xynctl verify``: reads Git alone, of a home or of a mirror, whether a node runs or not."""

import argparse
from dataclasses import asdict

from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer, json_text, remark
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.node.home import Home
from xyn_reconciler.record import checkpoint
from xyn_reconciler.record.verify import Verified
from xyn_reconciler.record.verify import verify as verify_repository
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.git import Repository


def verify(options: argparse.Namespace) -> int:
    """Print every finding; 1 where there is one."""
    against = None if options.against is None else checkpoint.parse(options.against)
    home = Home(home_path(options.home))
    is_home = home.repository.is_dir()
    done = verify_repository(
        _repository(home),
        node_id=home.node_id() if is_home else None,
        artifacts=ArtifactStore(home.artifacts) if home.artifacts.is_dir() and is_home else None,
        against=against,
        progress=remark,
    )
    if options.output == "json":
        answer(json_text(asdict(done)))
    else:
        _tell(done, options.output)
    return 1 if done.findings else 0


def _repository(home: Home) -> Repository:
    for place in (home.repository, home.path, home.path / ".git"):
        if (place / "objects").is_dir():
            return Repository.open(place)
    raise NotFoundError(f"{home.path} is neither a node's home nor a mirror of its repository")


def _tell(done: Verified, form: str) -> None:
    for finding in done.findings:
        if form == "name":
            answer(finding.ref)
        else:
            where = f"{finding.ref} {finding.commit or ''}".rstrip()
            answer(f"WRONG  {where}: {finding.wrong}\n       {finding.remedy}")
    for note in done.notes:
        remark(f"note: {note}")
    if not done.findings and form == "table":
        answer(
            f"whole: {done.entries} audit entries, {done.records} record lines,"
            f" {done.commits} commits, {done.artifacts} artifacts"
        )
