"""A step proposes a change: it becomes a draft under review, and people have the last word."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import Node, git

pytestmark = pytest.mark.acceptance

PROPOSE = """\
id: bp.propose
triggers:
  - event_type: night.asks
plan:
  - id: propose
    kind: action_task
    action: drafts.save
    with:
      name: "{{ event.data.name }}"
      trigger_event_type: night.falls
      notes: Somebody asked.
      definition:
        id: bp.proposed
        plan:
          - {id: word, kind: transform, set: {said: good night}}
"""


def test_a_step_saves_a_draft_that_names_its_run_and_the_same_again_changes_nothing(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", node.git_url, str(clone))
    (clone / "blueprints" / "propose.yaml").write_text(PROPOSE)
    git(clone, "add", ".")
    git(clone, "commit", "-m", "Propose what is asked for")
    git(clone, "push", "origin", "HEAD:main")

    def asked(name: str, status: str) -> tuple[str, dict[str, object]]:
        data = f'{{"name": "{name}"}}'
        event = node.xynctl("event", "emit", "night.asks", "--data", data, "-o", "name")
        run_id = node.run_of(event.stdout.strip())["run_id"]
        node.wait_for_run(run_id, status)
        (step,) = node.get(f"/runs/{run_id}/steps")["items"]
        return run_id, step

    run_id, first = asked("good-night", "completed")
    _, again = asked("good-night", "completed")
    _, refused = asked("../../main", "failed")

    review = node.get("/drafts/good-night/review")
    assert first["outputs"] == again["outputs"]
    assert first["outputs"] == {"draft_id": review["draft_id"], "revision": 1, "status": "draft"}
    assert review["run_id"] == run_id
    assert review["notes"] == "Somebody asked."
    words = [change["words"] for change in review["changes"]]
    assert any("night.falls" in each for each in [*words, str(review["effects"])]), review
    assert isinstance(refused["error"], dict)
    assert refused["error"]["code"] == "invalid_definition"
    trailer = git(clone, "ls-remote", "origin", "refs/heads/draft/*").stdout
    assert trailer.split()[0] == review["head"]
