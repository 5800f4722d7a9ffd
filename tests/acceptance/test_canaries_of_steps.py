"""Canaries that come from what steps touch: machines, models, programs of packs, repositories.

Each other side says all canaries, in their forms, cut in two wherever a piece may end. Then
everything is searched: while the run goes on, and after it.
"""

import codecs
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
import pytest

from tests.acceptance.docker_engine import Engine
from tests.canaries import (
    PLUMAGE,
    Cage,
    Parrot,
    caged,
    database_text,
    encoded,
    files_text,
    found,
    pages,
    plain_ascii,
    repository_text,
    searched,
)
from tests.http_site import running
from tests.integration.agent.speaking import begun, ended, refusal, speaking
from tests.neighbours import confinement, neighbour
from tests.running import XYNCTL, Node, clean_environment, git, wait_for
from tests.sshd import Sshd, sshd

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

USED: Final = {"prompt_tokens": 5, "completion_tokens": 3}
ECHO: Final = """\
id: bp.echo
inputs: {said: {type: string}}
concurrency: {key: "{{ inputs.said }}"}
plan: [{id: word, kind: transform, set: {said: "{{ inputs.said }}"}}]
outputs: {said: "{{ inputs.said }}"}
"""
PACK: Final = """\
  aviary.sing:
    summary: Say everything it knows, wherever something can be said.
    input_schema: {type: object, properties: {how: {type: string}}}
    output_schema: {type: object}
    run:
      file: actions/sing.py
      secrets: [%s]
"""
SING: Final = """
import base64, json, sys, time

def packed(value):
    return base64.b64encode(value.encode()).decode()

told = json.load(sys.stdin)
values, how = list(told["secrets"].values()), told["inputs"]["how"]
for value in values:
    # Cut in two between two writes, in a line and in one without an end.
    sys.stderr.write("x" * 5000 + value[:9])
    sys.stderr.flush()
    time.sleep(0.02)
    sys.stderr.write(value[9:] + "\\n" + value + "\\n")
    sys.stderr.write("y" * (2047 - len(value) // 2) + value + " " + packed(value) + "\\n")
sys.stderr.flush()
if how == "crash":
    raise RuntimeError(values[0] * 3)
if how == "exit":
    sys.stderr.write("z" * (2048 - 7) + values[1] + "w" * (2048 - 7))
    sys.exit(3)
if how == "noise":
    sys.stdout.write("n" * 190 + values[2] + values[3])
elif how == "error":
    json.dump({"error": {"code": "sung", "message": "m" * 3990 + values[4]}}, sys.stdout)
else:
    found = {"sung": values, values[5]: list(map(packed, values)), "hex": values[6].encode().hex()}
    json.dump({"outputs": found}, sys.stdout)
"""


FAILED: Final = {
    "broken": "exit_status",
    "nobody": "invalid_inputs",
    "gateway": "invalid_inputs",
    "elsewhere": "remote_not_found",
    "refused": "http_status",
    "sing_crash": "exit_status",
    "sing_exit": "exit_status",
    "sing_noise": "invalid_answer",
    "sing_error": "sung",
    "down": "provider_refused",
}
"""The steps that are to fail; all others had something to say."""


def step(name: str, action: str, given: object, **more: object) -> dict[str, Any]:
    return {"id": name, "kind": "action_task", "action": action, "with": given, **more}


def plan(server: Sshd, beak: Path, parrot: str) -> list[dict[str, Any]]:
    """Steps in a row, each of which is told what those before it heard."""
    host = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "key_ref": "env/NEST_SSH_KEY",
    }
    heard = "{{ steps.listen.outputs.stdout }}"
    first = "{{ steps.lines.outputs.all[0] }}"
    repository = {"repository": "nest"}
    steps = [
        step("listen", "ssh.run", {**host, "argv": ["cat", f"{beak}/few"]}),
        {"id": "lines", "kind": "transform", "set": {"all": [heard, f"{heard} and {heard}"]}},
        step("loud", "ssh.run", {**host, "argv": ["cat", f"{beak}/many"]}),
        step("slow", "ssh.run", {**host, "cmd": f"cat {beak}/few {beak}/few >&2; sleep 4"}),
        step("broken", "ssh.run", {**host, "cmd": f"cat {beak}/many >&2; exit 3"}),
        step("nobody", "ssh.run", {**host, "host": "localhost", "user": first, "cmd": "id"}),
        step(
            "gateway",
            "ssh.run",
            {**host, "gateway": f"{first}@127.0.0.1:{server.port}", "cmd": "id"},
        ),
        step("put", "artifacts.put", {"name": "song {{ vars.word }}.txt", "text": heard}),
        step("json", "artifacts.put", {"name": "all.json", "json": {first: heard}}),
        step("get", "artifacts.get", {"step": "json", "name": "all.json", "as": "json"}),
        step(
            "emit",
            "events.emit",
            {
                "event_name": "canary.tells",
                "data": {"said": heard, first: 1},
                "resource": {"type": first, "id": heard},
            },
        ),
        step("init", "git.repo.init", repository),
        step(
            "commit",
            "git.repo.commit",
            {**repository, "files": {"song.txt": heard}, "message": f"Say {heard}"},
        ),
        step("diff", "git.repo.diff", repository),
        step("checkout", "git.repo.checkout", {**repository, "files": ["song.txt"]}),
        step("tree", "git.repo.checkout", repository),
        step("log", "git.repo.log", repository),
        step(
            "elsewhere",
            "git.repo.clone",
            {
                "repository": "other",
                "url": f"{parrot}/a.git",
                "auth": {"basic": {"user": "ada", "password_ref": "env/CANARY_3_TOKEN"}},
            },
        ),
        step(
            "draft",
            "drafts.save",
            {"name": "sung", "notes": heard, "files": {"prompts/sung.md": heard}},
        ),
        step("check", "blueprints.validate", {"draft_id": "sung"}),
        step(
            "each",
            "http.call",
            {
                "url": f"{parrot}/{{{{ item_index }}}}",
                "method": "POST",
                "query": {"q": "{{ item }}"},
                "json": {"said": "{{ item }}"},
                "bearer_ref": "sys/local/canary/c21",
            },
            foreach="{{ steps.lines.outputs.all }}",
        ),
        step("sub", "blueprints.run", {"blueprint": "bp.echo", "inputs": {"said": heard}}),
        step(
            "save",
            "http.call",
            {
                "url": parrot,
                "method": "POST",
                "save_to": "said.json",
                "auth": {"header": {"name": "x-key", "value_ref": "sys/local/canary/c22"}},
            },
        ),
        step(
            "refused",
            "http.call",
            {
                "url": parrot,
                "json": {"said": heard},
                "auth": {"basic": {"user": "ada", "password_ref": "env/CANARY_4_TOKEN"}},
            },
        ),
        *(
            step(f"sing_{how}", "aviary.sing", {"how": how})
            for how in ("well", "crash", "exit", "noise", "error")
        ),
        {
            "id": "ask",
            "kind": "agent_task",
            "provider": "loft",
            "model": "m1",
            "prompt_template": f"say {heard} and {{{{ vars.word }}}}",
        },
        {
            "id": "file",
            "kind": "agent_task",
            "provider": "loft",
            "model": "m2",
            "prompt_file": "prompts/sing.md",
            "output_schema": {"type": "object"},
        },
        {
            "id": "down",
            "kind": "agent_task",
            "provider": "loft",
            "model": "m3",
            "prompt_template": "say it",
            "retry": {"max_attempts": 1},
        },
        {
            "id": "gate",
            "kind": "gate",
            "mode": "manual",
            "name": "look",
            "form": {"note": {"type": "string"}},
        },
    ]
    for before, this in itertools.pairwise(steps):
        this["needs"] = [before["id"]]
        this["continue_on_error"] = this["kind"] != "gate"
    return steps


@pytest.fixture
def parrot() -> Iterator[str]:
    with running(Parrot) as url:
        yield url


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def fill(beak: Path, cage: Cage) -> None:
    """Write what a machine says: a few lines, and much with a canary on each border."""
    beak.mkdir()
    lines = [encoded(value, number) for number, value in enumerate(cage.values)]
    (beak / "few").write_text("\n".join([PLUMAGE, *lines, *cage.values]))
    border = 32_768
    text = "a" * (border - 9) + cage.values[1] + "b" * border + "\n".join(cage.values)
    (beak / "many").write_text(text + "c" * border + cage.values[2] + "d" * (border - 9))


def answers(cage: Cage) -> list[list[bytes]]:
    """What a model says: in small pieces, as structured output, and as an error."""
    said = "".join(cage.values)
    pieces = [said[at : at + 7] for at in range(0, len(said), 7)]
    structured = json.dumps({"said": cage.values, cage.values[7]: 1})
    third = [structured[at : at + 11] for at in range(0, len(structured), 11)]
    refused = refusal(400)
    body = json.dumps({"error": {"message": "e" * 1990 + cage.values[8], "type": "x"}}).encode()
    head = refused[0].replace(b"content-length: 2", b"content-length: %d" % len(body))[:-2]
    return [
        [*begun("local", *pieces), *ended("local", said, USED)],
        [*begun("local", *third), *ended("local", structured, USED)],
        [head, body],
    ]


def push(cage: Cage, server: Sshd, beak: Path, parrot: str, loft: str, folder: Path) -> None:
    node = cage.node
    git(folder, "clone", node.git_url, "work")
    work = folder / "work"
    subprocess.run(
        [*XYNCTL, "pack", "new", "aviary"],
        cwd=work,
        env=clean_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    pack = work / "packs" / "aviary"
    secrets = ", ".join(
        [
            *(f"env/CANARY_{n}_TOKEN" for n in range(5)),
            *(f"sys/local/canary/c{n}" for n in range(20, 25)),
        ]
    )
    text = (pack / "pack.yaml").read_text()
    (pack / "pack.yaml").write_text(text.replace("events:", f"{PACK % secrets}events:"))
    (pack / "actions" / "sing.py").write_text(SING)
    (pack / "examples" / "sing.yaml").write_text("action: aviary.sing\nexpect: {}\n")
    (work / "known_hosts").write_text(server.known_hosts() + server.known_hosts(host="localhost"))
    (work / "prompts").mkdir(exist_ok=True)
    (work / "prompts" / "sing.md").write_text("Sing {{ steps.listen.outputs.stdout }} again.\n")
    document = {
        "id": "bp.aviary_day",
        "labels": {"sung": "daily"},
        "vars": {"word": "{{ event.data.word }}"},
        "inputs": {"said": {"type": "string", "default": "{{ event.data.word }}"}},
        "triggers": [
            {"event_type": "canary.day", "dedupe": {"key": "{{ event.data.word }}", "window": "1s"}}
        ],
        "concurrency": {"key": "{{ event.data.word }}"},
        "plan": plan(server, beak, parrot),
        "outputs": {"said": "{{ steps.listen.outputs.stdout }}"},
    }
    (work / "blueprints" / "echo.yaml").write_text(ECHO)
    (work / "blueprints" / "day.yaml").write_text(json.dumps(document, indent=1))
    definition = (work / "node.yaml").read_text()
    hosts = f'["127.0.0.1", "localhost:{server.port}"]'
    definition = definition.replace("allow: []", f"allow: {hosts}")
    definition = re.sub(r"(?m)^providers:.*\n", "", definition) + (
        f'\nproviders: {{loft: {{enabled: true, kind: openai, base_url: "{loft}/v1",'
        " key_ref: env/CANARY_9_TOKEN}}\n"
    )
    (work / "node.yaml").write_text(definition)
    git(work, "add", ".")
    git(work, "commit", "-m", "Open the aviary")
    git(work, "push", "origin", "HEAD:main")


def tried(cage: Cage) -> Iterator[tuple[str, bytes]]:
    """What the command says of an action by itself."""
    for given in (
        {"url": f"http://127.0.0.1:9/{plain_ascii(cage.next())}"},
        {"url": cage.next()},
        {cage.next(): cage.next()},
    ):
        done = cage.node.xynctl(
            "action", "try", "http.call", "--with", json.dumps(given), check=False
        )
        yield "action try", (done.stdout + done.stderr).encode()
    for how in ("well", "crash", "exit", "noise", "error"):
        asked = json.dumps({"how": how})
        done = cage.node.xynctl("action", "try", "aviary.sing", "--with", asked, check=False)
        yield f"action try {how}", (done.stdout + done.stderr).encode()


def while_it_runs(node: Node, run_id: str) -> Iterator[tuple[str, bytes]]:
    """What can be seen of a step under way, and of processes."""
    shown = wait_for(lambda: text if PLUMAGE in (text := live(node, run_id)) else "", seconds=60)
    yield "live", shown.encode()
    page = f"/ui/runs/{run_id}/steps/slow"
    for each in (page, f"{page}/_live", f"{page}/_step"):
        yield each, httpx2.get(f"{node.url}{each}", trust_env=False).content
    for process in psutil.process_iter(["cmdline"]):
        yield f"argv of {process.pid}", "\0".join(process.info["cmdline"] or ()).encode()


def live(node: Node, run_id: str) -> str:
    told = node.get(f"/runs/{run_id}/steps/slow/live") if started(node, run_id) else None
    return json.dumps(told, ensure_ascii=False)


def started(node: Node, run_id: str) -> bool:
    listed = node.get(f"/runs/{run_id}/steps")["items"]
    return any(each["key"] == "slow" and each["status"] == "running" for each in listed)


def test_no_canary_of_what_steps_touch_is_found_anywhere(
    make_node: Callable[..., Node], server: Sshd, parrot: str, tmp_path: Path
) -> None:
    confinement()
    cage = caged(make_node, NEST_SSH_KEY=server.key)
    node, beak = cage.node, tmp_path / "beak"
    fill(beak, cage)
    leaks = set[str]()
    with speaking(*answers(cage)) as loft:
        push(cage, server, beak, parrot, loft.url, tmp_path)
        run_id = node.run_of(node.emit("canary.day", {"word": cage.next()}))["run_id"]
        leaks |= found(cage, while_it_runs(node, run_id))
        leaks |= found(cage, (("live rows", each) for _, each in database_text(node.home)))
        wait_for(lambda: node.get(f"/runs/{run_id}")["wait_reason"] == "gate", seconds=120)
        asked = json.dumps(loft.asked)
    ends = {
        each["key"]: (each["error"] or {"code": None})["code"]
        for each in node.get(f"/runs/{run_id}/steps")["items"]
    }
    assert {name: code for name, code in ends.items() if code} == FAILED
    node.post(
        f"/runs/{run_id}/gates/gate/approve",
        {"comment": cage.next(), "form": {"note": cage.next()}},
    )
    node.wait_for_run(run_id, "completed", "failed")
    leaks |= found(cage, tried(cage))
    leaks |= found(cage, iter([("prompts", asked.encode())]))
    wait_for(lambda: node.get("/status")["records_waiting"] == 0)

    conditions = {each["type"] for each in node.get("/status")["conditions"]}
    for places in (
        repository_text(node.home),
        database_text(node.home),
        pages(node),
        files_text(node.home),
    ):
        hits, seen = searched(cage, places)
        leaks |= hits
        assert seen
    assert not leaks, "\n".join(sorted(leaks))
    assert "SecretCaught" not in conditions, "the last guard had to catch one"


# ── containers ───────────────────────────────────────────────────────────────────────────────────

TURN: Final = "tr A-Za-z N-ZA-Mn-za-m <in/"
"""What goes in is not what may not go in: the container turns it back."""


@pytest.fixture
def image(shared_engine: Engine, tmp_path: Path) -> Iterator[tuple[Engine, str]]:
    tree = tmp_path / "tree" / "bin"
    tree.mkdir(parents=True)
    shutil.copy(neighbour("busybox", "docker"), tree / "busybox")
    for name in ("sh", "tr", "cat"):
        (tree / name).symlink_to("busybox")
    tar = tmp_path / "busybox.tar"
    subprocess.run(["tar", "-C", tree.parent, "-cf", tar, "."], check=True)
    made = shared_engine.docker("import", str(tar)).strip()
    yield shared_engine, made
    shared_engine.docker("image", "rm", "--force", made)


def test_no_canary_that_a_container_says_is_found_anywhere(
    make_node: Callable[..., Node], image: tuple[Engine, str], tmp_path: Path
) -> None:
    engine, made = image
    cage = caged(make_node, **({"DOCKER_HOST": engine.host} if engine.host else {}))
    node = cage.node
    song = "\n".join([*map(encoded, cage.values, range(len(cage.values))), *cage.values])
    result = json.dumps({"said": cage.values, cage.values[3]: {"deep": [cage.values[4]]}})
    command = (
        f"{TURN}song; {TURN}song >&2; {TURN}song >out/{{0}}.txt; {TURN}json >out/r.json; exit {{1}}"
    )
    work = tmp_path / "work"
    git(tmp_path, "clone", node.git_url, "work")
    steps = [
        step(
            name,
            "container.exec",
            {
                "image": made,
                "argv": ["sh", "-c", command.format(name, status)],
                "files": {
                    "in/song": codecs.encode(f"{song}\n{PLUMAGE}\n", "rot13"),
                    "in/json": codecs.encode(result, "rot13"),
                },
                "artifacts": ["out/"],
                "result": "out/r.json",
            },
            continue_on_error=True,
        )
        for name, status in (("well", 0), ("badly", 3))
    ]
    document = {"id": "bp.boxed", "triggers": [{"event_type": "canary.boxed"}], "plan": steps}
    (work / "blueprints" / "boxed.yaml").write_text(json.dumps(document))
    git(work, "add", ".")
    git(work, "commit", "-m", "Box them")
    git(work, "push", "origin", "HEAD:main")

    run_id = node.run_of(node.emit("canary.boxed"))["run_id"]
    node.wait_for_run(run_id, "completed", "failed")
    wait_for(lambda: node.get("/status")["records_waiting"] == 0)

    ends = {each["key"]: each for each in node.get(f"/runs/{run_id}/steps")["items"]}
    assert ends["well"]["outputs"]["result"]["said"] == ["[redacted]"] * len(cage.values)
    assert ends["badly"]["error"]["code"] == "exit_status"
    leaks = set[str]()
    for places in (
        repository_text(node.home),
        database_text(node.home),
        pages(node),
        files_text(node.home),
    ):
        hits, seen = searched(cage, places)
        leaks |= hits
        assert seen
    assert not leaks, "\n".join(sorted(leaks))
