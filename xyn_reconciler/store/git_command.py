"""Run the ``git`` program: one clean environment, one version check, one way to fail.

Transport, merge and maintenance are git's own; objects are read and written by
:mod:`xyn_reconciler.store.git_objects`. Nothing of the user's environment or
configuration reaches these commands (an inherited ``GIT_DIR`` would send a
write to another repository, a global ``core.hooksPath`` would switch the hook
off), except in :func:`network_environment`, where the user's credentials are
what a fetch needs.
"""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from xyn_reconciler.model.errors import UnavailableError, XynError

OLDEST_GIT = (2, 38)
"""``git merge-tree --write-tree`` came with 2.38 (state-repo.md, Promoting)."""

COMMAND_SECONDS = 120.0
"""A short command that takes longer than this hangs on something."""

_LOOK_SECONDS = 0.25

_WATCHER = "import os, sys; os.read(0, 1); os.killpg(int(sys.argv[1]), 9)"

_FETCH_KEEPS = (
    *("HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"),
)


class GitError(XynError):
    """The git program refused or failed; the message is what it said."""

    code = "git_failed"


class GitMissingError(UnavailableError):
    """There is no git here, or it is too old."""

    code = "git_missing"


@functools.cache
def git_program() -> str:
    """Path of a git that is new enough, looked up once per process."""
    program = "git"
    try:
        said = subprocess.run(
            [program, "version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise GitMissingError(
            "git is not installed (or does not start): install git 2.38 or newer"
        ) from error
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise GitMissingError(f"git 2.38 or newer is needed, here is {said.strip()!r}: update git")
    return program


def environment(
    repository: Path | None = None,
    more: Mapping[str, str] | None = None,
    *,
    settings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of a git command that touches one local repository, and ``more``.

    ``settings`` are configuration for this command, which no list of processes shows.
    """
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    own = {} if repository is None else {"safe.directory": str(repository)}
    trusted = _configuration({**own, **(settings or {})})
    return {
        **kept,
        **trusted,
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        # dulwich sees one of ten refs of a reftable repository (measured).
        "GIT_DEFAULT_REF_FORMAT": "files",
        **(more or {}),
    }


def network_environment(repository: Path) -> dict[str, str]:
    """For a fetch: the user's credentials and proxies, but no question and no odd protocol."""
    kept = {name: os.environ[name] for name in _FETCH_KEEPS if name in os.environ}
    base = environment(repository, {"GIT_ALLOW_PROTOCOL": "file:http:https:ssh"})
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        del base[name]
    return {"GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "GIT_ASKPASS": "true", **base, **kept}


def run(
    repository: Path,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    seconds: float = COMMAND_SECONDS,
    accept: Sequence[int] = (0,),
    look: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run one git command; an exit status not in ``accept`` raises :class:`GitError`.

    ``look`` is called several times a second meanwhile; what it raises ends the command, and
    so does the end of this process, however it comes: a fetch could wait for its server for ever.
    """
    command = [git_program(), "--git-dir", str(repository), *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env) if env is not None else environment(repository),
        cwd=repository,
        start_new_session=True,
    ) as process:
        try:
            with _ending_with_us(process) if look else contextlib.nullcontext():
                out, err = _ended(process, stdin, seconds, look)
        except BaseException as error:
            # With its helpers (ssh, git-remote-https): one that lives holds the pipes open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise GitError(f"git {arguments[0]} did not end within {seconds:.0f} s") from error
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if done.returncode not in accept:
        said = done.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise GitError(f"git {arguments[0]}: {said or f'exit status {done.returncode}'}")
    return done


@contextlib.contextmanager
def _ending_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have a process and its helpers killed when this one is: the kernel closes the pipe then."""
    command = [sys.executable, "-I", "-S", "-c", _WATCHER, str(process.pid)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env={}, cwd="/", start_new_session=True
    ) as watcher:
        try:
            yield
        finally:
            watcher.kill()


def _ended(
    process: subprocess.Popen[bytes],
    stdin: bytes,
    seconds: float,
    look: Callable[[], None] | None,
) -> tuple[bytes, bytes]:
    """Wait for the end of a process; gives what it said on both channels."""
    if look is None:
        return process.communicate(stdin, timeout=seconds)
    until = time.monotonic() + seconds
    while True:
        look()
        try:
            # What is given once is not given again: the input is on its way already.
            return process.communicate(stdin, timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            stdin = b""
            if time.monotonic() >= until:
                raise


def _configuration(values: Mapping[str, str]) -> dict[str, str]:
    """Settings for one command by the environment, which reaches git's own children too."""
    pairs = {"GIT_CONFIG_COUNT": str(len(values))}
    for position, (key, value) in enumerate(values.items()):
        pairs[f"GIT_CONFIG_KEY_{position}"] = key
        pairs[f"GIT_CONFIG_VALUE_{position}"] = value
    return pairs
