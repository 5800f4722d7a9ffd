"""Managed repositories: real git on both sides, strangers' trees, and attempts that come again."""

import base64
import contextlib
import dataclasses
import io
import os
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.action.conftest import Kept
from tests.sshd import Sshd
from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.action.git_repo_checkout import GitRepoCheckout
from xyn_reconciler.action.git_repo_clone import GitRepoClone
from xyn_reconciler.action.git_repo_commit import GitRepoCommit
from xyn_reconciler.action.git_repo_diff import GitRepoDiff
from xyn_reconciler.action.git_repo_init import GitRepoInit
from xyn_reconciler.action.git_repo_log import GitRepoLog
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError, XynError
from xyn_reconciler.store import managed_git, managed_repository

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@example.org" for who in ("AUTHOR", "COMMITTER")},
}


def git(where: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments],
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


class Place:
    """The repositories of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def root(self) -> Path:
        return self.folder

    def author(self, run_id: uuid.UUID) -> str:  # noqa: ARG002 - as Managed has it
        return "operator <operator@xyn>"

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.git"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "home" / "repositories")


class Bench:
    """Runs the actions, each as a step of its own."""

    def __init__(self, place: Place, attempt: ActionContext) -> None:
        self.place = place
        self.kept = Kept()
        self.secrets: dict[str, str] = {}
        self.attempt = dataclasses.replace(attempt, artifact=self.kept, secret=self.secrets.get)

    def step(self, action: Action, context: ActionContext | None = None, **inputs: Any) -> Any:  # noqa: ANN401 - outputs
        return action.run(inputs, context or self.another())

    def another(self) -> ActionContext:
        return dataclasses.replace(
            self.attempt, step_id=uuid.uuid4(), deadline=time.monotonic() + 30
        )

    def init(self, name: str = "site") -> Any:  # noqa: ANN401 - outputs
        return self.step(GitRepoInit(self.place), repository=name)

    def commit(self, files: Mapping[str, Any], **inputs: Any) -> Any:  # noqa: ANN401 - as above
        given = {"repository": "site", "message": "Change", "files": files, **inputs}
        context = given.pop("context", None)
        return self.step(GitRepoCommit(self.place), context, **given)

    def clone(self, **inputs: Any) -> Any:  # noqa: ANN401 - as above
        context = inputs.pop("context", None)
        given = {"repository": "site", **inputs}
        return self.step(GitRepoClone(self.place), context, **given)

    def log(self, **inputs: Any) -> Any:  # noqa: ANN401 - as above
        given = {"repository": "site", **inputs}
        return self.step(GitRepoLog(self.place), **given)["commits"]

    def diff(self, **inputs: Any) -> Any:  # noqa: ANN401 - as above
        given = {"repository": "site", **inputs}
        return self.step(GitRepoDiff(self.place), **given)

    def checkout(self, **inputs: Any) -> Any:  # noqa: ANN401 - as above
        given = {"repository": "site", **inputs}
        return self.step(GitRepoCheckout(self.place), **given)

    def tar(self, outputs: Mapping[str, Any]) -> dict[str, bytes]:
        content = self.kept.contents[outputs["artifact_id"]]
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]  # files alone


@pytest.fixture
def bench(place: Place, attempt: ActionContext) -> Bench:
    return Bench(place, attempt)


def failure(error: XynError) -> str:
    return error.failure_code if isinstance(error, StepError) else error.code


# ── our own ──────────────────────────────────────────────────────────────────────────────────────


def test_files_that_are_committed_are_there_for_a_real_git_client(
    bench: Bench, tmp_path: Path
) -> None:
    assert bench.init() == {"repository": "site", "created": True}
    assert bench.init() == {"repository": "site", "created": False}

    first = bench.commit({"a.txt": "one\n", "b/c.bin": {"base64": "AP8="}}, message="Begin\n")
    second = bench.commit({"a.txt": "two\n", "b/c.bin": None})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(bench.place.path("site")), str(clone))

    assert (clone / "a.txt").read_text() == "two\n"
    assert not (clone / "b").exists()
    assert git(clone, "rev-parse", "HEAD") == second["commit"]
    assert second["parent"] == first["commit"]
    assert git(clone, "log", "-1", "--format=%an <%ae>") == "operator <operator@xyn>"
    trailer = git(clone, "log", "-1", "--format=%(trailers:key=Run-Id,valueonly)")
    assert trailer == str(bench.attempt.run_id)
    git(bench.place.path("site"), "fsck", "--strict")


def test_an_attempt_that_comes_again_finds_its_commit_even_below_those_of_others(
    bench: Bench,
) -> None:
    bench.init()
    mine = bench.another()

    first = bench.commit({"a": "1"}, context=mine)
    bench.commit({"a": "2"})
    again = bench.commit({"a": "1"}, context=dataclasses.replace(mine, attempt=2))
    item = bench.commit({"a": "1"}, context=dataclasses.replace(mine, item=0))

    assert again == first
    assert item["commit"] != first["commit"]
    assert len(bench.log()) == 3


def test_a_message_that_claims_to_be_of_another_step_is_no_commit_of_that_step(
    bench: Bench,
) -> None:
    bench.init()
    mine = bench.another()
    bench.commit({"a": "1"}, message=f"Lie\n\nStep-Id: {mine.step_id}")

    assert bench.commit({"b": "1"}, context=mine)["changed"]


def test_what_is_there_already_makes_no_commit(bench: Bench) -> None:
    bench.init()
    first = bench.commit({"a": "1"})

    again = bench.commit({"a": "1"})

    assert again == {"commit": first["commit"], "parent": None, "changed": False}


def test_two_at_once_both_have_their_commit_and_expected_refuses_the_later(bench: Bench) -> None:
    bench.init()
    first = bench.commit({"a": "0"})["commit"]
    threads = [
        threading.Thread(target=bench.commit, args=({f"f{number}": "x"},)) for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with pytest.raises(XynError) as caught:
        bench.commit({"a": "1"}, expected=first)

    assert failure(caught.value) == "conflict"
    assert len(bench.log()) == 7
    files = bench.checkout(files=["a", *(f"f{number}" for number in range(6))])["files"]
    assert files == {"a": "0", **{f"f{number}": "x" for number in range(6)}}


def test_a_branch_begins_where_it_is_told_to(bench: Bench) -> None:
    bench.init()
    first = bench.commit({"a": "1"})["commit"]
    bench.commit({"a": "2"})

    made = bench.commit({"b": "1"}, branch="fix/one", base=first)

    assert made["parent"] == first
    assert bench.checkout(ref="fix/one", files=["a"])["files"] == {"a": "1"}
    assert [each["commit"] for each in bench.log(ref="fix/one")] == [made["commit"], first]


def test_a_diff_is_kept_and_shows_what_attributes_would_hide(bench: Bench) -> None:
    bench.init()
    bench.commit({"a": "one\n", ".gitattributes": "* -diff\n", "gone": "x\n"})
    bench.commit({"a": "two\n", "gone": None, "new": {"base64": "AP8="}})

    outputs = bench.diff()
    patch = bench.kept.contents[outputs["artifact_id"]].decode()

    assert {(e["path"], e["change"], e["added"], e["removed"]) for e in outputs["files"]} == {
        ("a", "changed", 1, 1),
        ("gone", "removed", 0, 1),
        ("new", "added", None, None),
    }
    assert "-one\n+two\n" in patch
    assert outputs["patch"] == patch
    assert [each["path"] for each in bench.diff(paths=["a"])["files"]] == ["a"]
    assert bench.diff(to=outputs["from"])["from"] is None


def test_the_log_is_bounded_and_names_the_run(bench: Bench) -> None:
    bench.init()
    assert bench.log() == []
    for number in range(3):
        bench.commit({f"f{number}": "x"}, message=f"Number {number}")

    assert [each["subject"] for each in bench.log(limit=2)] == ["Number 2", "Number 1"]
    assert [each["subject"] for each in bench.log(path="f0")] == ["Number 0"]
    assert bench.log(limit=1)[0]["run_id"] == str(bench.attempt.run_id)


@pytest.mark.parametrize(
    "path", ["../a", ".git/config", "a/.GIT/hooks/x", "/a", "a//b", ".git\u200c/x", "git~1/x", ""]
)
def test_no_path_of_a_commit_leaves_the_tree_or_means_git(bench: Bench, path: str) -> None:
    bench.init()

    with pytest.raises(XynError) as caught:
        bench.commit({path: "x"})

    assert failure(caught.value) == "invalid_request"
    assert bench.log() == []


@pytest.mark.parametrize("name", ["../state", "a/b", "-x", "Site", ".hidden", "a..b", "x" * 101])
def test_a_repository_has_a_name_and_is_nowhere_else(bench: Bench, name: str) -> None:
    with pytest.raises(XynError) as caught:
        bench.init(name)

    assert failure(caught.value) == "invalid_request"


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-x", "a..b", "refs/heads/../x", "a@{1}", "a^"])
def test_a_ref_is_a_name_and_no_option(bench: Bench, ref: str) -> None:
    bench.init()
    bench.commit({"a": "1"})

    for act in (bench.log, bench.checkout):
        with pytest.raises(XynError) as caught:
            act(ref=ref)
        assert failure(caught.value) == "invalid_request"
    with pytest.raises(XynError):
        bench.commit({"a": "2"}, branch=ref)


@pytest.mark.parametrize("branch", ["origin/main", "refs/xyn/runs", "HEAD", "0" * 40])
def test_a_branch_is_not_named_like_something_else(bench: Bench, branch: str) -> None:
    bench.init()

    with pytest.raises(XynError) as caught:
        bench.commit({"a": "1"}, branch=branch)

    assert failure(caught.value) == "invalid_request"


def test_a_message_of_half_a_character_is_committed_without_it(bench: Bench) -> None:
    bench.init()
    bench.commit({"a": "1"}, message="caf\ud800")

    assert bench.log()[0]["subject"] == "caf?"


# ── strangers' trees ─────────────────────────────────────────────────────────────────────────────


def test_links_and_submodules_are_left_out_and_a_link_that_is_written_becomes_a_file(
    bench: Bench, tmp_path: Path
) -> None:
    bench.init()
    work = tmp_path / "work"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "link").symlink_to("/etc/passwd")
    git(work, "add", ".")
    sha = "1" * 40
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{sha},sub")
    git(work, "commit", "-qm", "Odd")
    git(work, "push", "-q", str(bench.place.path("site")), "main")

    outputs = bench.checkout()
    with pytest.raises(PermanentError) as caught:
        bench.checkout(files=["link"])
    bench.commit({"link": "text"})

    assert bench.tar(outputs) == {"run.sh": b"#!/bin/sh\n"}
    assert (outputs["count"], outputs["left_out"]) == (1, ["link", "sub"])
    assert caught.value.failure_code == "file_not_found"
    assert bench.tar(bench.checkout())["link"] == b"text"


def test_a_tree_that_unfolds_without_end_is_refused_soon(bench: Bench) -> None:
    bench.init()
    repository = bench.place.path("site")
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=b"x")
    tree = git(repository, "mktree", stdin=f"100644 blob {blob}\tf\n".encode())
    for _ in range(10):
        lines = "".join(f"040000 tree {tree}\td{number}\n" for number in range(10))
        tree = git(repository, "mktree", stdin=lines.encode())
    commit = git(repository, "commit-tree", "-m", "Bomb", tree)
    git(repository, "update-ref", "refs/heads/main", commit)

    for act in (bench.checkout, bench.diff):
        with pytest.raises(XynError) as caught:
            act()
        assert failure(caught.value) in {"too_large", "tree_too_large"}


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────


class GitServer(ThreadingHTTPServer):
    """git's own http-backend over a folder of repositories."""

    def __init__(self, folder: Path, credentials: str | None) -> None:
        super().__init__(("127.0.0.1", 0), GitHandler)
        self.folder = folder
        self.credentials = credentials
        self.asked: list[str] = []


class GitHandler(BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") != "chunked":
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            return
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        self.server.asked.append(self.path)
        wanted = self.server.credentials
        if self.path.startswith("/moved/"):
            self._say(302, {"Location": self.path.removeprefix("/moved")})
        elif wanted is not None and self.headers.get("Authorization") != wanted:
            self._say(401, {"WWW-Authenticate": 'Basic realm="x"'})
        else:
            self._ask_git(body)

    def _ask_git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], env=environment, input=body, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(lines.pop("Status", "200").split()[0])
        self._say(status, {**lines, "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _say(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(
    folder: Path, *, credentials: str | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Serve repositories; gives the address and what was asked."""
    with GitServer(folder, credentials) as server:
        if tls is not None:
            settings = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            settings.load_cert_chain(*tls)
            server.socket = settings.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://localhost:{server.server_port}", server.asked
        server.shutdown()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A repository of somebody else, with two branches and a tag."""
    bare = tmp_path / "theirs" / "app.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    work = tmp_path / "their-work"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    push(work, bare, "main", {"a.txt": "one\n"})
    push(work, bare, "next", {"b.txt": "x\n"})
    git(work, "tag", "-a", "v1", "-m", "One")
    git(work, "push", "-q", str(bare), "v1")
    git(work, "checkout", "-q", "main")
    return bare


def push(work: Path, bare: Path, branch: str, files: Mapping[str, str]) -> str:
    if branch != "main":
        git(work, "checkout", "-q", "-B", branch)
    for path, text in files.items():
        (work / path).write_text(text)
    git(work, "add", ".")
    git(work, "commit", "-qm", "Theirs")
    git(work, "push", "-q", str(bare), branch)
    return git(work, "rev-parse", "HEAD")


def test_a_clone_over_http_follows_and_keeps_commits_of_its_own(
    bench: Bench, theirs: Path, tmp_path: Path
) -> None:
    with served(theirs.parent) as (url, asked):
        first = bench.clone(url=f"{url}/app.git")
        tip = push(tmp_path / "their-work", theirs, "main", {"a.txt": "two\n"})
        second = bench.clone(url=f"{url}/app.git")
        bench.commit({"mine": "x"})
        push(tmp_path / "their-work", theirs, "main", {"a.txt": "three\n"})
        third = bench.clone(url=f"{url}/app.git")

    assert asked
    assert (first["created"], second["created"]) == (True, False)
    assert first["default_branch"] == "main"
    assert set(first["branches"]) == {"main", "next"}
    assert second["branches"]["main"] == tip
    assert (second["diverged"], third["diverged"]) == ([], ["main"])
    assert bench.checkout(files=["a.txt", "mine"])["files"] == {"a.txt": "two\n", "mine": "x"}
    assert bench.checkout(ref="origin/main", files=["a.txt"])["files"] == {"a.txt": "three\n"}
    assert bench.checkout(ref="v1", files=["b.txt"])["files"] == {"b.txt": "x\n"}
    assert "localhost" not in (bench.place.path("site") / "config").read_text()


def test_a_certificate_is_trusted_only_where_its_authority_is_named(
    bench: Bench, theirs: Path, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with served(theirs.parent, tls=(certificate, key)) as (url, _):
        with pytest.raises(PermanentError) as caught:
            bench.clone(url=f"{url}/app.git")
        outputs = bench.clone(url=f"{url}/app.git", ca=certificate.read_text())

    assert caught.value.failure_code == "tls_failed"
    assert outputs["created"]


def test_credentials_are_sent_and_neither_stored_nor_seen_in_a_list_of_processes(
    bench: Bench, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.secrets["team/app/password"] = "correct-horse-battery"
    basic = "Basic " + base64.b64encode(b"ada:correct-horse-battery").decode()
    commands: list[str] = []
    start = subprocess.Popen.__init__

    def noting(self: Any, args: Any, *more: Any, **options: Any) -> None:  # noqa: ANN401 - any command
        commands.append(str(args))
        start(self, args, *more, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", noting)
    auth = {"basic": {"user": "ada", "password_ref": "team/app/password"}}
    with served(theirs.parent, credentials=basic) as (url, _):
        with pytest.raises(PermanentError) as caught:
            bench.clone(url=f"{url}/app.git")
        outputs = bench.clone(url=f"{url}/app.git", auth=auth)

    assert caught.value.failure_code == "auth_failed"
    assert outputs["created"]
    assert any("fetch" in each for each in commands)
    stored = b"".join(
        path.read_bytes() for path in bench.place.path("site").rglob("*") if path.is_file()
    )
    for secret in ("correct-horse-battery", basic.removeprefix("Basic ")):
        assert not any(secret in each for each in commands)
        assert secret.encode() not in stored


def test_a_redirect_is_not_followed(bench: Bench, theirs: Path) -> None:
    with served(theirs.parent) as (url, asked), pytest.raises(PermanentError) as caught:
        bench.clone(url=f"{url}/moved/app.git")

    assert caught.value.failure_code == "redirected"
    assert all(each.startswith("/moved/") for each in asked)
    assert not bench.place.path("site").exists()


@pytest.mark.parametrize("host", ["pinned.example", "Pinned.Example", "pinned.example."])
def test_git_goes_to_the_address_that_was_allowed_and_looks_up_nothing(
    bench: Bench, theirs: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    # git, in a process of its own, knows no such name.
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    with served(theirs.parent) as (url, _):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
        outputs = bench.clone(url=f"{url.replace('localhost', host)}/app.git")

    assert outputs["created"]


def test_more_branches_than_anybody_looks_at_are_refused(
    bench: Bench, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed_git, "MOST_BRANCHES", 1)
    with served(theirs.parent) as (url, _), pytest.raises(XynError) as caught:
        bench.clone(url=f"{url}/app.git")

    assert failure(caught.value) == "too_large"
    assert not bench.place.path("site").exists()


def test_egress_rules_over_addresses_by_name_and_number(bench: Bench, theirs: Path) -> None:
    bench.attempt = dataclasses.replace(bench.attempt, egress=())
    with served(theirs.parent) as (url, asked):
        for there in (url, url.replace("localhost", "127.0.0.1"), "ssh://git@127.0.0.1:22/x.git"):
            bench.secrets["team/app/key"] = "x"
            given = {"key_ref": "team/app/key"} if there.startswith("ssh") else {}
            with pytest.raises(PermanentError) as caught:
                bench.clone(url=there if given else f"{there}/app.git", **given)
            assert caught.value.failure_code == "egress_denied"

    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "file:///etc",
        "/etc",
        "--upload-pack=touch x",
        "-x",
        "git://localhost/x",
        "git@localhost:x.git",
        "ssh://-oProxyCommand=x/y",
        "ssh://git@localhost/a b",
        "ssh://git@localhost/$(x)",
        "http://ada:password@localhost/x",
        "http://localhost\\@evil.example/x",
        "http://localhost/x?service=y",
        "fd::3",
    ],
)
def test_what_git_or_a_shell_would_read_otherwise_is_no_url(bench: Bench, url: str) -> None:
    bench.secrets["team/app/key"] = "x"
    given = {"key_ref": "team/app/key"} if url.startswith("ssh") else {}
    with pytest.raises(PermanentError) as caught:
        bench.clone(url=url, **given)

    assert caught.value.failure_code == "invalid_url"
    assert list(bench.place.folder.glob("*")) == []


def test_settings_and_helpers_of_the_user_play_no_part(
    bench: Bench, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    home.mkdir()
    marker = tmp_path / "touched"
    (home / ".gitconfig").write_text(
        f'[core]\n\tfsmonitor = "touch {marker}"\n\tsshCommand = "touch {marker}"\n'
        f'[credential]\n\thelper = "!touch {marker}"\n[url "http://127.0.0.1:9/"]\n'
        "\tinsteadOf = http://localhost\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(theirs))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with served(theirs.parent) as (url, _):
        outputs = bench.clone(url=f"{url}/app.git")

    assert outputs["created"]
    assert not marker.exists()


def test_another_managed_repository_is_cloned_by_its_name(bench: Bench) -> None:
    bench.init()
    tip = bench.commit({"a": "1"})["commit"]

    outputs = bench.clone(**{"repository": "copy", "from": "site"})

    assert outputs["branches"] == {"main": tip}
    with pytest.raises(XynError) as caught:
        bench.clone(**{"repository": "other", "from": "nothing"})
    assert failure(caught.value) == "repository_not_found"


def test_branches_that_are_gone_over_there_are_gone_from_origin(bench: Bench) -> None:
    bench.init()
    tip = bench.commit({"a": "1"})["commit"]
    site = bench.place.path("site")
    git(site, "update-ref", "refs/heads/topic", tip)
    git(site, "update-ref", "refs/tags/v1", tip)
    bench.clone(**{"repository": "copy", "from": "site"})
    git(site, "update-ref", "-d", "refs/heads/topic")
    git(site, "update-ref", "-d", "refs/tags/v1")
    git(site, "update-ref", "refs/heads/topic/2", tip)

    outputs = bench.clone(**{"repository": "copy", "from": "site"})

    assert outputs["branches"] == {"main": tip, "topic/2": tip}
    # What was fetched once stays: topic, which its successor cannot stand beside, and the tag.
    assert outputs["diverged"] == ["topic/2"]
    assert bench.log(repository="copy", ref="topic")
    assert bench.log(repository="copy", ref="v1")


def test_a_branch_over_there_does_not_stand_before_what_is_over_there(bench: Bench) -> None:
    bench.init()
    tip = bench.commit({"a": "1"})["commit"]
    other = bench.commit({"a": "2"}, branch="other")["commit"]
    git(bench.place.path("site"), "update-ref", "refs/heads/origin/main", other)

    bench.clone(**{"repository": "copy", "from": "site"})

    assert bench.log(repository="copy", ref="origin/main")[0]["commit"] == tip


def test_an_empty_repository_is_cloned_too(bench: Bench) -> None:
    bench.init()

    outputs = bench.clone(**{"repository": "copy", "from": "site"})

    assert (outputs["branches"], outputs["default_branch"]) == ({}, None)


def test_a_tree_with_a_folder_named_git_is_not_let_in(bench: Bench, theirs: Path) -> None:
    blob = git(theirs, "hash-object", "-w", "--stdin", stdin=b"x")
    inner = git(theirs, "mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    outer = git(theirs, "mktree", stdin=f"040000 tree {inner}\t.GIT\n".encode())
    git(theirs, "update-ref", "refs/heads/evil", git(theirs, "commit-tree", "-m", "x", outer))
    with served(theirs.parent) as (url, _), pytest.raises(PermanentError) as caught:
        bench.clone(url=f"{url}/app.git")

    assert caught.value.failure_code == "content_refused"
    assert list(bench.place.folder.glob("*")) == []


def test_a_repository_that_is_too_large_is_given_up_and_leaves_nothing(
    bench: Bench, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed_repository, "MOST_BYTES", 100_000)
    (tmp_path / "their-work" / "big").write_bytes(os.urandom(400_000))
    push(tmp_path / "their-work", theirs, "main", {})
    with served(theirs.parent) as (url, _), pytest.raises(XynError) as caught:
        bench.clone(url=f"{url}/app.git")

    assert failure(caught.value) == "too_large"
    assert list(bench.place.folder.glob("*")) == []
    assert list(bench.place.folder.glob(".new-*")) == []


def test_a_server_that_says_nothing_is_left_when_the_time_is_up_or_the_run_is_cancelled(
    bench: Bench,
) -> None:
    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gone.wait(30)

        def log_message(self, *_: object) -> None:
            pass

    gone = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.git"
        short = dataclasses.replace(bench.another(), deadline=time.monotonic() + 0.6)
        with pytest.raises(TemporaryError) as late:
            bench.clone(url=url, context=short)
        context = dataclasses.replace(bench.another(), cancelled=lambda: True)
        with pytest.raises(PermanentError) as cancelled:
            bench.clone(url=url, context=context)
        gone.set()
        server.shutdown()

    assert late.value.failure_code == "timeout"
    assert cancelled.value.failure_code == "cancelled"
    assert list(bench.place.folder.glob(".new-*")) == []


def test_a_clone_over_ssh_takes_its_key_and_only_a_host_that_is_known(
    bench: Bench, theirs: Path, server: Sshd
) -> None:
    bench.secrets["team/app/key"] = server.key
    url = f"ssh://{server.user}@127.0.0.1:{server.port}{theirs}"
    given = {"url": url, "key_ref": "team/app/key"}

    with pytest.raises(PermanentError) as refused:
        bench.clone(**given, known_hosts=server.known_hosts(host="other"))
    outputs = bench.clone(**given, known_hosts=server.known_hosts())
    by_name = bench.clone(
        repository="named",
        url=url.replace("127.0.0.1", "localhost"),
        key_ref="team/app/key",
        known_hosts=server.known_hosts(host="localhost"),
    )

    assert refused.value.failure_code == "host_key_refused"
    assert outputs["created"]
    assert by_name["branches"] == outputs["branches"]
