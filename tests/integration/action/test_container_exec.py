"""``container.exec`` against a real Docker engine, with an image made of busybox alone."""

import datetime as dt
import io
import json
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.docker_engine import Engine
from tests.integration.action.conftest import Kept
from tests.neighbours import neighbour
from tests.running import wait_for
from xyn_reconciler.action.container_engine import remove_leftovers
from xyn_reconciler.action.container_exec import ContainerExec
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Images:
    """The engine, and the id of the image on it."""

    engine: Engine
    busybox: str

    def left(self) -> str:
        return self.engine.docker("ps", "--all", "--quiet", "--filter", "label=xyn.run_id")


@pytest.fixture(scope="module")
def images(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    folder = tmp_path_factory.mktemp("busybox")
    (folder / "tree" / "bin").mkdir(parents=True)
    shutil.copy(neighbour("busybox", "docker"), folder / "tree" / "bin" / "busybox")
    for name in ("sh", "cat", "echo", "grep", "id", "ls", "sleep", "yes", "head", "seq", "touch",
                 "ln", "mkdir", "mkfifo", "dd", "truncate", "pwd", "kill"):  # fmt: skip
        (folder / "tree" / "bin" / name).symlink_to("busybox")
    subprocess.run(["tar", "-C", folder / "tree", "-cf", folder / "busybox.tar", "."], check=True)
    with pytest.MonkeyPatch.context() as patch:
        if shared_engine.host:
            patch.setenv("DOCKER_HOST", shared_engine.host)
        # An entrypoint of its own shows that it is not used.
        change = 'ENTRYPOINT ["/bin/echo", "entry"]'
        found = shared_engine.docker(
            "import", "--change", change, str(folder / "busybox.tar")
        ).strip()
        yield Images(shared_engine, found)
        shared_engine.docker("image", "rm", "--force", found)


def run(context: ActionContext, images: Images, *argv: str, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the action's inputs
    return ContainerExec().run({"image": images.busybox, "argv": list(argv), **inputs}, context)


def failure(act: Callable[[], object]) -> StepError:
    with pytest.raises(StepError) as caught:
        act()
    return caught.value


def test_a_command_gives_its_streams_apart_and_leaves_no_container(
    attempt: ActionContext, images: Images
) -> None:
    outputs = run(attempt, images, "sh", "-c", "echo $A; echo err >&2", env={"A": "a b"})

    assert outputs == {
        "exit_status": 0,
        "image": images.busybox,
        "stdout": "a b\n",
        "stdout_bytes": 4,
        "stderr": "err\n",
        "stderr_bytes": 4,
    }
    assert images.left() == ""


def test_another_exit_status_than_0_is_a_failure_with_what_was_printed(
    attempt: ActionContext, images: Images
) -> None:
    error = failure(lambda: run(attempt, images, "sh", "-c", "echo why >&2; exit 3"))

    assert error.failure_code == "exit_status"
    assert error.details is not None
    assert (error.details["exit_status"], error.details["stderr"]) == (3, "why\n")


def test_it_has_no_privilege_no_network_and_nothing_to_write_on_but_tmp(
    attempt: ActionContext, images: Images
) -> None:
    script = (
        "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; ls /sys/class/net;"
        "touch /x /bin/x /dev/shm/../x 2>/dev/null || echo read-only; touch /tmp/x && echo tmp"
    )

    outputs = run(attempt, images, "sh", "-c", script)

    assert outputs["stdout"].split() == [
        *("65534", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "lo"),
        *("read-only", "tmp"),
    ]


def test_nothing_of_the_nodes_user_goes_along(
    attempt: ActionContext, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = {"proxies": {"default": {"httpProxy": "http://ada:secret@proxy.example.net"}}}
    (tmp_path / "config.json").write_text(json.dumps(proxies))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    outputs = run(attempt, images, "sh", "-c", "echo $HTTP_PROXY$http_proxy")

    assert outputs["stdout"] == "\n"


def test_it_carries_the_labels_of_its_run_and_step_while_it_runs(
    attempt: ActionContext, images: Images
) -> None:
    cancelled = threading.Event()
    running = threading.Thread(
        target=lambda: failure(
            lambda: run(replace(attempt, cancelled=cancelled.is_set), images, "sleep", "60")
        )
    )
    running.start()
    wait_for(images.left)

    labels = images.engine.docker(
        "inspect", "--format", "{{json .Config.Labels}} {{.State.Pid}}", images.left().strip()
    )
    cancelled.set()
    running.join()

    assert f'"xyn.run_id":"{attempt.run_id}"' in labels
    assert f'"xyn.step_id":"{attempt.step_id}"' in labels


@pytest.mark.parametrize("how", ["timeout", "cancelled"])
@pytest.mark.parametrize("command", ["sleep 60", "trap '' TERM; yes"])
def test_neither_timeout_nor_cancel_leaves_it_running(
    attempt: ActionContext, images: Images, how: str, command: str
) -> None:
    cancelled = threading.Event()
    stopped = replace(attempt, cancelled=cancelled.is_set)
    if how == "timeout":
        stopped = replace(stopped, deadline=time.monotonic() + 3)
    else:
        threading.Timer(3, cancelled.set).start()

    error = failure(lambda: run(stopped, images, "sh", "-c", command))

    assert error.failure_code == how
    assert isinstance(error, TemporaryError) == (how == "timeout")
    assert images.left() == ""


def test_more_memory_than_allowed_ends_it_with_a_reason(
    attempt: ActionContext, images: Images
) -> None:
    eat = "x=a; while :; do x=$x$x; done"

    error = failure(lambda: run(attempt, images, "sh", "-c", eat, memory="20MB"))

    assert error.failure_code == "out_of_memory"
    assert "20MB" in error.message


def test_more_processes_than_allowed_are_not_begun(attempt: ActionContext, images: Images) -> None:
    fork = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done"

    error = failure(lambda: run(attempt, images, "sh", "-c", fork, pids=4))

    assert error.failure_code == "exit_status"
    assert error.details is not None
    assert "fork" in error.details["stderr"]


def test_much_output_is_cut_in_the_outputs_and_whole_in_an_artifact(
    attempt: ActionContext, images: Images
) -> None:
    kept = Kept()

    outputs = run(replace(attempt, artifact=kept), images, "seq", "100000")

    whole = "".join(f"{number}\n" for number in range(1, 100_001))
    assert outputs["stdout"].startswith("1\n2\n")
    assert outputs["stdout"].endswith("\n100000\n")
    assert kept.contents == {outputs["stdout_artifact"]: whole.encode()}


@pytest.mark.parametrize("length", [3, 64])
def test_no_network_is_found_by_its_id(attempt: ActionContext, images: Images, length: int) -> None:
    bridge = images.engine.docker("network", "inspect", "--format", "{{.Id}}", "bridge")

    error = failure(lambda: run(attempt, images, "true", network=bridge[:length]))

    assert error.failure_code == "engine_refused"
    assert f"no network {bridge[:length]}" in error.message


def test_an_image_that_is_not_there_is_named(attempt: ActionContext, images: Images) -> None:
    absent = "sha256:" + "0" * 64

    error = failure(lambda: run(attempt, images, "id", image=absent))

    assert error.failure_code == "image_not_found"
    assert isinstance(error, PermanentError)


def test_a_program_that_is_not_there_is_refused_by_the_engine(
    attempt: ActionContext, images: Images
) -> None:
    error = failure(lambda: run(attempt, images, "nope"))

    assert error.failure_code == "engine_refused"
    assert "nope" in error.message
    assert images.left() == ""


def test_without_an_engine_another_try_makes_sense(
    attempt: ActionContext, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    error = failure(lambda: run(attempt, images, "id"))

    assert error.failure_code == "engine_unavailable"
    assert isinstance(error, TemporaryError)


def test_what_a_killed_node_left_is_found_by_its_run(images: Images) -> None:
    mine, others = uuid.uuid4(), uuid.uuid4()
    for run_id in (mine, others):
        images.engine.docker(
            "run", "--detach", "--label", f"xyn.run_id={run_id}", "--entrypoint", "/bin/sleep",
            images.busybox, "300",
        )  # fmt: skip

    removed = remove_leftovers(lambda found: {mine} & set(found))

    left = images.left().split()
    assert removed == 1
    assert len(left) == 1
    assert remove_leftovers(lambda found: found) == 1
    assert images.left() == ""


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def test_files_go_in_and_declared_folders_come_out_as_artifacts(
    attempt: ActionContext, images: Images
) -> None:
    kept = Kept()
    given = uuid.uuid4()
    known = Artifact(
        artifact_id=given, name="given", kind="x", content_type="text/plain",
        created_at=dt.datetime.now(dt.UTC), created_by="ada", byte_length=6, sha256="0",
    )  # fmt: skip
    context = replace(
        attempt, artifact=kept, open_artifact=lambda _: (known, io.BytesIO(b"given\n"))
    )
    script = "pwd; cat in/a/b.txt in/given.txt; mkdir out/deep; echo 1 >out/deep/x; echo 2 >out/y"

    outputs = run(
        context, images, "sh", "-c", script,
        files={"in/a/b.txt": "text\n"},
        inputs={"given.txt": str(given)},
        artifacts=["out/deep/"],
    )  # fmt: skip

    assert outputs["stdout"] == "/step\ntext\ngiven\n"
    assert outputs["artifacts"].keys() == {"deep/x"}
    assert kept.contents == {outputs["artifacts"]["deep/x"]: b"1\n"}


def test_what_goes_in_cannot_be_changed_and_nothing_else_can_be_written(
    attempt: ActionContext, images: Images
) -> None:
    script = "touch in/a in/x x 2>/dev/null || touch out/x && ls out"

    outputs = run(attempt, images, "sh", "-c", script, files={"in/a": ""}, artifacts=["out"])

    assert outputs["stdout"] == "x\n"


def test_a_result_file_becomes_an_output(attempt: ActionContext, images: Images) -> None:
    script = """echo '{"ok": [1, 2]}' >out/result.json"""

    outputs = run(attempt, images, "sh", "-c", script, result="out/result.json")

    assert outputs["result"] == {"ok": [1, 2]}


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("true", "invalid_result"),
        ("echo '{' >out/r", "invalid_result"),
        ("echo NaN >out/r", "invalid_result"),
        ("yes '[' | head -n 100000 >out/r", "invalid_result"),
        ("ln -s /etc/hostname out/r", "invalid_result"),
        ("mkdir out/r", "invalid_result"),
        ("yes | head -c 300000 >out/r", "file_too_large"),
    ],
)
def test_a_result_that_is_none_is_an_error(
    attempt: ActionContext, images: Images, script: str, code: str
) -> None:
    error = failure(lambda: run(attempt, images, "sh", "-c", script, result="out/r"))

    assert error.failure_code == code
    assert images.left() == ""


def test_links_pipes_and_names_that_lead_elsewhere_are_left_out(
    attempt: ActionContext, images: Images
) -> None:
    kept, lines = Kept(), list[str]()
    context = replace(attempt, artifact=kept, log=lines.append)
    script = (
        "cd out; ln -s /etc/passwd link; ln -s / folder; mkfifo pipe; echo a >plain;"
        "ln plain second; echo b >'..x'; echo c >\"$(echo -e 'new\\nline')\""
    )

    outputs = run(context, images, "sh", "-c", script, artifacts=["out/"])

    names = set(outputs["artifacts"])
    assert names >= {"..x", "new\nline"}
    assert names & {"plain", "second"}
    assert not names & {"link", "folder", "pipe"}
    assert all(b"root:" not in content for content in kept.contents.values())
    assert sum("no ordinary file" in line for line in lines) >= 3


def test_files_are_no_larger_than_an_artifact_and_not_too_many(
    attempt: ActionContext, images: Images
) -> None:
    narrow = replace(attempt, artifact=Kept(), artifact_max=100_000)

    larger = failure(
        lambda: run(
            narrow, images, "dd", "if=/dev/zero", "of=out/x", "bs=1000", "count=200",
            artifacts=["out"],
        )
    )  # fmt: skip
    sparse = failure(lambda: run(narrow, images, "truncate", "-s", "1T", "out/x"))
    many = failure(
        lambda: run(
            narrow, images, "sh", "-c", "for i in $(seq 250); do touch out/$i; done",
            artifacts=["out/"],
        )
    )  # fmt: skip

    assert larger.failure_code == "exit_status"
    assert sparse.failure_code == "exit_status"
    assert many.failure_code == "too_many_files"


def test_what_a_failed_command_left_is_kept_too(attempt: ActionContext, images: Images) -> None:
    kept = Kept()

    error = failure(
        lambda: run(
            replace(attempt, artifact=kept), images, "sh", "-c", "echo why >out/log; exit 3",
            artifacts=["out/"],
        )
    )  # fmt: skip

    assert error.failure_code == "exit_status"
    assert error.details is not None
    assert kept.contents == {error.details["artifacts"]["log"]: b"why\n"}


def test_no_volume_is_left_behind(attempt: ActionContext, images: Images) -> None:
    run(attempt, images, "ls", files={"in/a": "x"}, artifacts=["out"])

    assert images.engine.docker("volume", "ls", "--quiet").strip() == ""


def test_standard_input_is_what_was_given(attempt: ActionContext, images: Images) -> None:
    text = "line\n" * 100_000

    outputs = run(attempt, images, "cat", stdin=text)
    unread = run(attempt, images, "echo", "ok", stdin=text)

    assert outputs["stdout_bytes"] == len(text)
    assert unread["stdout"] == "ok\n"


# ── images ───────────────────────────────────────────────────────────────────────────────────────


def test_an_image_by_its_name_has_to_be_allowed_and_is_noted_by_its_digest(
    attempt: ActionContext, images: Images
) -> None:
    images.engine.docker("tag", images.busybox, "tools/busybox:1")
    allowed = replace(attempt, images=("tools/busybox:1",))

    refused = failure(lambda: run(attempt, images, "id", image="tools/busybox:1"))
    other = failure(lambda: run(allowed, images, "id", image="tools/busybox"))
    disguised = failure(
        lambda: run(attempt, images, "id", image="tools/sha256:" + images.busybox[7:])
    )
    outputs = run(allowed, images, "echo", "hi", image="tools/busybox:1")

    assert disguised.failure_code == "image_not_allowed"
    assert refused.failure_code == other.failure_code == "image_not_allowed"
    assert "containers.allow" in refused.message
    assert outputs["image"] == images.busybox


def test_what_it_prints_is_shown_while_it_runs(attempt: ActionContext, images: Images) -> None:
    said: list[str] = []
    seen = threading.Event()

    def live(text: str) -> None:
        said.append(text)
        if "first" in "".join(said):
            seen.set()

    shown = replace(attempt, live=live, cancelled=seen.is_set)
    error = failure(lambda: run(shown, images, "sh", "-c", "echo first; sleep 60; echo second"))

    assert error.failure_code == "cancelled"
    assert "".join(said) == "first\n"
