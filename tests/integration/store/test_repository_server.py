"""Clones, fetches and pushes by the real git client, over HTTP and over the file path."""

import gzip
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer, make_server

import pytest

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.push_hook import (
    HookServer,
    PushRequest,
    hook_socket,
    install_hooks,
)
from xyn_reconciler.store.ref_rules import RefUpdate, check_ref_updates
from xyn_reconciler.store.repository_server import GitHttp, GitRequest, GitResponse

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def git(where: Path, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode == 0) is ok, done.stderr
    return done


def commit(where: Path, path: str, content: str) -> str:
    (where / path).parent.mkdir(parents=True, exist_ok=True)
    (where / path).write_text(content)
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "--message", f"Change {path}")
    return git(where, "rev-parse", "HEAD").stdout.strip()


class Node:
    """What the node is for these tests: git's own ref rules, and a memory of what it was asked."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.requests: list[PushRequest] = []
        self.read: list[bytes | None] = []
        self.judge: Callable[[PushRequest, Callable[[str], None]], bool] = self.git_rules

    def __call__(self, request: PushRequest, say: Callable[[str], None]) -> bool:
        self.requests.append(request)
        return self.judge(request, say)

    def git_rules(self, request: PushRequest, say: Callable[[str], None]) -> bool:
        if request.kind == "post-receive":
            return True
        seen = self.repository.quarantined(request.environment)
        found = check_ref_updates(seen, request.updates)
        for sentence in found:
            say(sentence)
        return not found


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


def wsgi(served: GitHttp) -> "WSGIApplication":
    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> GitResponse:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        headers = {
            "Content-Type": environ.get("CONTENT_TYPE", ""),
            "Content-Encoding": environ.get("HTTP_CONTENT_ENCODING", ""),
            "Git-Protocol": environ.get("HTTP_GIT_PROTOCOL", ""),
        }
        response = served.handle(
            GitRequest(
                method=environ["REQUEST_METHOD"],
                path=environ["PATH_INFO"].removeprefix("/git/state.git"),
                query=environ.get("QUERY_STRING", ""),
                headers=headers,
                body=io.BytesIO(environ["wsgi.input"].read(length)),
                ticket="ticket-of-ada",
            )
        )
        start_response(f"{response.status} Said", response.headers)
        return response

    return application


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "state.git")


@pytest.fixture
def node(repository: Repository, tmp_path: Path) -> Iterator[Node]:
    path = hook_socket(tmp_path / "run")
    install_hooks(repository, path)
    node = Node(repository)
    with HookServer(path, node, repository=repository):
        yield node


@pytest.fixture
def url(repository: Repository) -> Iterator[str]:
    application = wsgi(GitHttp(repository))
    with make_server("127.0.0.1", 0, application, server_class=_Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/git/state.git"
        server.shutdown()
        thread.join()


@pytest.fixture
def clone(tmp_path: Path, node: Node, url: str) -> Path:
    """Of a repository whose main holds one commit."""
    git(tmp_path, "clone", "--quiet", url, "clone")
    where = tmp_path / "clone"
    commit(where, "node.yaml", "node: one\n")
    git(where, "push", "--quiet", "origin", "HEAD:main")
    node.requests.clear()
    return where


def test_a_push_over_http_is_what_the_next_clone_and_fetch_get(
    clone: Path, url: str, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", url, "second")
    sha = commit(clone, "blueprints/a.yaml", "id: a\n")

    git(clone, "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path / "second", "pull", "--quiet")

    assert git(tmp_path / "second", "rev-parse", "HEAD").stdout.strip() == sha
    assert (tmp_path / "second" / "blueprints" / "a.yaml").read_text() == "id: a\n"


def test_a_push_over_the_file_path_meets_the_same_hook_without_a_ticket(
    clone: Path, node: Node, repository: Repository
) -> None:
    old = repository.resolve("refs/heads/main")
    new = commit(clone, "node.yaml", "node: two\n")

    git(clone, "push", "--quiet", str(repository.path), "HEAD:main")

    assert [request.kind for request in node.requests] == ["pre-receive", "post-receive"]
    assert node.requests[0].updates == (RefUpdate("refs/heads/main", old, new),)
    assert node.requests[0].ticket is None


def test_a_push_over_http_brings_its_ticket_and_options(clone: Path, node: Node) -> None:
    commit(clone, "node.yaml", "node: two\n")

    git(clone, "push", "--quiet", "-o", "why=because", "origin", "HEAD:main")

    assert node.requests[0].ticket == "ticket-of-ada"
    assert node.requests[0].options == ("why=because",)


def test_every_line_of_a_refusal_is_shown_and_nothing_moves(
    clone: Path, node: Node, repository: Repository
) -> None:
    before = repository.refs("refs/")
    commit(clone, "node.yaml", "node: [\n")

    def refuse(_: PushRequest, say: Callable[[str], None]) -> bool:
        say('node.yaml:1:7: not_yaml: it says "\x1b[31mred"')
        say("1 problem in 1 file; main was not moved")
        return False

    node.judge = refuse
    said = git(clone, "push", "origin", "HEAD:main", ok=False).stderr

    assert 'remote: node.yaml:1:7: not_yaml: it says "?[31mred"' in said
    assert "remote: 1 problem in 1 file; main was not moved" in said
    assert repository.refs("refs/") == before


def test_lines_of_a_long_check_arrive_while_it_is_still_under_way(clone: Path, node: Node) -> None:
    seen = threading.Event()

    def slowly(_: PushRequest, say: Callable[[str], None]) -> bool:
        say("looking")
        return seen.wait(60)

    node.judge = slowly
    commit(clone, "node.yaml", "node: two\n")
    pushing = subprocess.Popen(
        ["git", "-C", str(clone), "push", "origin", "HEAD:main"],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )

    with pushing:
        assert pushing.stderr is not None
        first = next(line for line in pushing.stderr if "remote:" in line)
        seen.set()
        rest = pushing.stderr.read()

    assert "looking" in first
    assert pushing.returncode == 0, rest


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (UnavailableError("the database does not answer"), "the database does not answer"),
        (RuntimeError("secret"), "an error of the node"),
    ],
)
def test_a_check_that_breaks_refuses_the_push(
    clone: Path, node: Node, repository: Repository, error: Exception, shown: str
) -> None:
    before = repository.resolve("refs/heads/main")
    commit(clone, "node.yaml", "node: two\n")

    def breaks(*_: object) -> bool:
        raise error

    node.judge = breaks
    said = git(clone, "push", "origin", "HEAD:main", ok=False).stderr

    assert f"remote: xyn: the push could not be checked: {shown}" in said
    assert "secret" not in said
    assert repository.resolve("refs/heads/main") == before


@pytest.mark.skipif(sys.platform != "linux", reason="looks up descriptors in /proc")
@pytest.mark.parametrize("by", ["http", "file path"])
def test_a_push_is_answered_only_after_its_folders_were_synced(
    clone: Path,
    repository: Repository,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    if by == "http":
        # Without hooks, so that it is the web process which has to do it.
        shutil.rmtree(repository.path / "hooks")
    commit(clone, "node.yaml", "node: two\n")
    synced: list[str] = []
    original = os.fsync

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(str(path.relative_to(repository.path)))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    git(clone, "push", "--quiet", url if by == "http" else str(repository.path), "HEAD:main")

    assert {"objects", "objects/pack", ".", "refs/heads"} <= set(synced)


def test_without_a_node_a_push_is_refused_with_the_command_that_starts_it(
    repository: Repository, tmp_path: Path, url: str
) -> None:
    install_hooks(repository, hook_socket(tmp_path / "run"))
    git(tmp_path, "clone", "--quiet", url, "clone")
    commit(tmp_path / "clone", "node.yaml", "node: one\n")

    for remote in (url, str(repository.path)):
        said = git(tmp_path / "clone", "push", remote, "HEAD:main", ok=False).stderr

        assert "the node of this repository is not running" in said
        assert "xynctl up" in said
    assert repository.refs("refs/") == {}


def test_pushed_files_are_read_under_quarantine_and_stay_unseen_when_refused(
    clone: Path, node: Node, repository: Repository
) -> None:
    sha = commit(clone, "blueprints/deep/new.yaml", "id: new\n")
    found: list[object] = []

    def look(request: PushRequest, _: Callable[[str], None]) -> bool:
        seen = repository.quarantined(request.environment)
        (update,) = request.updates
        assert update.new is not None
        found.append([change.text for change in seen.changes(update.old, update.new)])
        found.append(seen.read_path(update.new, "blueprints/deep/new.yaml"))
        found.append(seen.read_path(update.new, "node.yaml"))
        found.append(seen.is_ancestor(str(update.old), update.new))
        found.append([entry.subject for entry in seen.log(update.new)])
        found.append(repository.resolve(update.new))
        return False

    node.judge = look
    git(clone, "push", "origin", "HEAD:main", ok=False)

    assert found == [
        ["blueprints/deep/new.yaml"],
        b"id: new\n",
        b"node: one\n",
        True,
        ["Change blueprints/deep/new.yaml", "Change node.yaml"],
        None,
    ]
    assert repository.resolve(sha) is None


def test_main_is_neither_forced_nor_deleted(clone: Path, repository: Repository) -> None:
    commit(clone, "node.yaml", "node: two\n")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    before = repository.resolve("refs/heads/main")
    git(clone, "reset", "--quiet", "--hard", "HEAD~1")
    commit(clone, "node.yaml", "node: three\n")

    forced = git(clone, "push", "--force", "origin", "HEAD:main", ok=False).stderr
    deleted = git(clone, "push", str(repository.path), ":main", ok=False).stderr

    assert "remote: main only moves forward" in forced
    assert "remote: main cannot be deleted" in deleted
    assert repository.resolve("refs/heads/main") == before


def test_drafts_are_made_forced_and_deleted(clone: Path, repository: Repository) -> None:
    git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/draft/ops/disk")
    git(clone, "commit", "--quiet", "--amend", "--message", "Again")
    git(clone, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/draft/ops/disk")

    moved = repository.resolve("refs/heads/draft/ops/disk")
    git(clone, "push", "--quiet", "origin", ":refs/heads/draft/ops/disk")

    assert moved == git(clone, "rev-parse", "HEAD").stdout.strip()
    assert list(repository.refs("refs/")) == ["refs/heads/main"]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("refs/heads/feature/x", "feature/x is not taken here: push to main, or to draft/x"),
        ("refs/tags/v1", "refs/tags/v1 is not taken here: push to main, or to draft/v1"),
        ("refs/heads/draft/-odd", "draft/-odd: the name of a draft"),
        (
            "refs/heads/draft/00000000000000000000000000000000",
            "draft/00000000000000000000000000000000: the name of a draft is no id",
        ),
    ],
)
def test_other_refs_are_refused_with_a_sentence_that_names_the_draft(
    clone: Path, repository: Repository, target: str, sentence: str
) -> None:
    said = git(clone, "push", "origin", f"HEAD:{target}", ok=False).stderr

    assert f"remote: {sentence}" in said
    assert list(repository.refs("refs/")) == ["refs/heads/main"]


def test_records_are_fetched_but_never_pushed(
    clone: Path, repository: Repository, url: str, tmp_path: Path
) -> None:
    tip = repository.resolve("refs/heads/main")
    assert tip is not None
    repository.update_ref("refs/xyn/runs/n1/2026-11", expected=None, new=tip)

    git(clone, "push", "origin", "HEAD:refs/xyn/runs/n1/2026-12", ok=False)
    git(clone, "push", str(repository.path), ":refs/xyn/runs/n1/2026-11", ok=False)
    git(tmp_path, "clone", "--quiet", "--mirror", url, "mirror.git")

    mirrored = git(tmp_path / "mirror.git", "rev-parse", "refs/xyn/runs/n1/2026-11").stdout
    assert mirrored.strip() == tip
    assert list(repository.refs("refs/xyn/")) == ["refs/xyn/runs/n1/2026-11"]


def test_of_sixteen_pushes_at_once_exactly_those_answered_ok_are_in_history(
    clone: Path, repository: Repository, url: str, tmp_path: Path
) -> None:
    shas: dict[str, bool] = {}

    def push(number: int) -> None:
        where = tmp_path / f"c{number}"
        git(tmp_path, "clone", "--quiet", url, where.name)
        sha = commit(where, f"blueprints/{number}.yaml", f"id: {number}\n")
        for _ in range(3):
            done = subprocess.run(
                ["git", "-C", str(where), "push", "--porcelain", "origin", "HEAD:main"],
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            shas[sha] = done.returncode == 0
            if shas[sha]:
                return
            git(where, "pull", "--quiet", "--rebase", "origin", "main")
            sha = git(where, "rev-parse", "HEAD").stdout.strip()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    main = {entry.sha for entry in repository.log("refs/heads/main", limit=1000)}
    assert any(shas.values())
    assert {sha for sha, ok in shas.items() if ok} == main - {
        git(clone, "rev-parse", "HEAD").stdout.strip()
    }
    assert repository.check() == []


def test_a_push_too_large_for_one_request_comes_in_chunks_through_the_real_web_server(
    repository: Repository, node: Node, tmp_path: Path
) -> None:
    (tmp_path / "served.py").write_text(
        "import os, pathlib\n"
        "from xyn_reconciler.store.git import Repository\n"
        "from xyn_reconciler.store.repository_server import GitHttp, GitRequest\n"
        "served = GitHttp(Repository.open(pathlib.Path(os.environ['STATE'])))\n"
        "def app(environ, start_response):\n"
        "    names = {'CONTENT_TYPE': 'Content-Type'}\n"
        "    headers = {new: environ[old] for old, new in names.items() if old in environ}\n"
        "    response = served.handle(GitRequest(environ['REQUEST_METHOD'], environ['PATH_INFO'],\n"
        "        environ['QUERY_STRING'], headers, environ['wsgi.input']))\n"
        "    start_response(f'{response.status} Said', response.headers)\n"
        "    return response\n"
    )
    program = shutil.which("granian", path=str(Path(sys.executable).parent))
    assert program is not None
    root = Path(__file__).parents[3]
    python_path = os.pathsep.join([str(tmp_path), str(root)])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "--interface", "wsgi", "--port", str(port), "--no-ws", "served:app"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path, "STATE": str(repository.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if (
                subprocess.run(
                    ["git", "ls-remote", address],
                    env=ENVIRONMENT,
                    capture_output=True,
                    check=False,
                    timeout=60,
                ).returncode
                == 0
            ):
                break
        git(tmp_path, "init", "--quiet", "big")
        (tmp_path / "big").mkdir(exist_ok=True)
        (tmp_path / "big" / "noise.bin").write_bytes(os.urandom(3_000_000))
        sha = commit(tmp_path / "big", "node.yaml", "node: one\n")

        git(tmp_path / "big", "push", "--quiet", address, "HEAD:main")
    finally:
        server.terminate()
        server.wait(30)

    assert repository.resolve("refs/heads/main") == sha
    assert [request.kind for request in node.requests] == ["pre-receive", "post-receive"]


def ask(
    repository: Repository,
    method: str,
    path: str,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> tuple[int, bytes]:
    response = GitHttp(repository).handle(
        GitRequest(method, path, query, headers or {}, io.BytesIO(body))
    )
    content = b"".join(response)
    response.close()
    return response.status, content


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/HEAD", "", 404),
        ("GET", "/objects/info/packs", "", 404),
        ("GET", "/../state.git/config", "", 404),
        ("GET", "/info/refs", "", 403),
        ("GET", "/info/refs", "service=git-upload-archive", 403),
        ("POST", "/info/refs", "service=git-upload-pack", 405),
        ("GET", "/git-upload-pack", "", 405),
        ("POST", "/git-upload-pack", "", 415),
    ],
)
def test_nothing_but_the_smart_protocol_is_served(
    repository: Repository, method: str, path: str, query: str, status: int
) -> None:
    assert ask(repository, method, path, query=query)[0] == status


def test_a_gzipped_request_is_unpacked_and_a_bomb_is_not(repository: Repository) -> None:
    headers = {
        "Content-Type": "application/x-git-upload-pack-request",
        "content-encoding": "gzip",
        "Git-Protocol": "version=2",
    }
    request = b"0014command=ls-refs\n0000"

    listed = ask(
        repository, "POST", "/git-upload-pack", headers=headers, body=gzip.compress(request)
    )
    bomb = ask(
        repository,
        "POST",
        "/git-upload-pack",
        headers=headers,
        body=gzip.compress(bytes(100_000_000)),
    )
    torn = ask(
        repository, "POST", "/git-upload-pack", headers=headers, body=gzip.compress(request)[:-9]
    )

    assert listed == (200, b"0000")
    assert bomb[0] == 413
    assert torn[0] == 400


@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_a_client_that_goes_away_leaves_no_git_behind_and_frees_its_turn(
    clone: Path, repository: Repository
) -> None:
    served = GitHttp(repository)
    headers = {"Content-Type": "application/x-git-upload-pack-request"}
    want = git(clone, "rev-parse", "HEAD").stdout.strip()
    body = b"0032want %s\n00000009done\n" % want.encode()

    for _ in range(20):
        response = served.handle(
            GitRequest("POST", "/git-upload-pack", "", headers, io.BytesIO(body))
        )
        assert response.status == 200
        response.close()

    assert not _children()


def _children() -> list[str]:
    ids = [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    lines = [Path(f"/proc/{child}/cmdline").read_text() for child in ids]
    return [line for line in lines if "upload-pack" in line]


def test_a_second_node_on_the_same_socket_is_refused(node: Node, repository: Repository) -> None:
    _ = node
    path = hook_socket(repository.path.parent / "run")

    with pytest.raises(Exception, match="another node already answers"):
        HookServer(path, lambda *_: True, repository=repository).start()


def test_the_socket_of_a_killed_node_does_not_stop_the_next(
    repository: Repository, tmp_path: Path
) -> None:
    path = hook_socket(tmp_path / "run")
    subprocess.run(
        [sys.executable, "-c", f"import socket; socket.socket(1).bind({str(path)!r})"], check=True
    )
    assert path.exists()

    with HookServer(path, lambda *_: True, repository=repository):
        assert path.stat().st_mode & 0o777 == 0o600

    assert not path.exists()


def test_a_home_with_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / "run"

    path = hook_socket(deep)

    assert len(str(path)) <= 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert hook_socket(tmp_path / ("e" * 90) / "run") != path


def test_a_quarantine_outside_the_repository_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="not inside the state repository"):
        repository.quarantined({"GIT_QUARANTINE_PATH": str(tmp_path)})
