"""The tutorials' commands run as they stand; :mod:`.doc_pages` says what a block means."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx2
import pytest

from tests.acceptance.doc_pages import CHECKOUT, Block, assert_printed, blocks
from tests.acceptance.docker_engine import Engine
from tests.neighbours import confinement, neighbour
from tests.running import Node, clean_environment, free_port, wait_for
from tests.sshd import neighbour_sshd

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

FIRST, SAFELY, NIGHT, OWN_PACK = (
    CHECKOUT / "docs" / "tutorial" / f"{name}.md"
    for name in ("first-change", "change-it-safely", "a-night-shift", "your-own-pack")
)


class Shell:
    """A terminal: one bash for all blocks, so that ``cd`` and variables last."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._script = folder / "typed.sh"
        self._output = folder / "printed.txt"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bash.communicate(timeout=10)

    def type(self, text: str, folder: str = "") -> tuple[bool, str]:
        """Type lines; whether every one succeeded, and what they printed."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._script.write_text(text, encoding="utf-8")
        script, output = shlex.quote(str(self._script)), shlex.quote(str(self._output))
        typed = f"source {script} </dev/null >{output} 2>&1"
        if folder:
            typed = f"pushd {shlex.quote(folder)} >/dev/null; {typed}; popd >/dev/null"
        self._bash.stdin.write(f"bad=; trap 'bad=1' ERR; {typed}; trap - ERR; echo \"end$bad\"\n")
        self._bash.stdin.flush()
        end = self._bash.stdout.readline().strip()
        return end == "end", self._output.read_text(encoding="utf-8")


class Third:
    """A terminal where one command stays until Ctrl-C, and what it shows."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.environment = environment
        self._shown = folder / "third.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def shows(self) -> str:
        return self._shown.read_text(encoding="utf-8")

    def start(self, text: str, folder: Path) -> None:
        with self._shown.open("wb") as shown:
            process = subprocess.Popen(
                ["bash", "--norc", "-c", f"exec {text}"],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=shown,
                stderr=shown,
            )
        self._process = process
        wait_for(lambda: "ready" in self.shows() or process.poll() is not None)
        assert process.poll() is None, self.shows()

    def stop(self) -> None:
        """Press Ctrl-C."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None


@dataclass
class Reader:
    """Somebody with three terminals, who takes a moment between two commands."""

    checkout: Path
    node: Node
    shell: Shell
    third: Third
    ports: dict[str, int] = field(default_factory=dict)
    """Port on the page -> the one that it has here, so that pages are read side by side."""

    def follow(self, block: Block, where: str, before: str) -> str:
        """Do what a block says; gives what it printed."""
        match block.info.split():
            case ["sh"]:
                good, printed = self.shell.type(self.here(block.text))
                assert good, f"{where}: a command failed:\n{printed}"
                self.wait()
                return printed
            case ["sh", "refused"]:
                good, printed = self.shell.type(self.here(block.text))
                assert not good, f"{where}: this should have been refused:\n{printed}"
                return printed
            case ["sh", "node"]:
                return self.first_terminal(block.text, where)
            case ["sh", "third"]:
                self.third.start(self.here(block.text).strip(), self.checkout)
            case ["press"]:
                self.press()
            case ["look"]:
                answer = httpx2.get(f"{self.node.url}{block.text}", trust_env=False)
                assert answer.status_code != 404, f"{where}: there is no such page"
            case ["text"]:
                assert_printed(self.here(block.text), before, where)
            case ["text", "third"]:
                assert_printed(self.here(block.text), self.third.shows(), where)
            case other:
                pytest.fail(f"{where}: a reader does not know what to do with {other}")
        return before

    def here(self, text: str) -> str:
        text = text.replace(":8080", f":{self.node.port}")
        for shown, port in self.ports.items():
            text = re.sub(rf"\b{shown}\b", str(port), text)
        return text

    def first_terminal(self, text: str, where: str) -> str:
        *others, last = text.splitlines()
        assert last == "make up", where
        assert self.node.stop() == 0
        good, printed = self.shell.type("\n".join(others), folder=str(self.checkout))
        assert good, f"{where}:\n{printed}"
        self.node.start("--demo")
        self.wait()
        return self.node.home.with_name(".xyn.up.log").read_text(encoding="utf-8")

    def read(self, page: Path) -> None:
        """Follow a page from its first block to its last."""
        printed = ""
        for block in blocks(page):
            printed = self.follow(block, f"{page.name}:{block.line}", printed)

    def wait(self) -> None:
        """Until nothing is under way any more and all of it is recorded."""

        def is_quiet() -> bool:
            status = self.node.get("/status")
            runs = status["runs"]
            return not (runs["created"] or runs["running"] or status["records_waiting"])

        wait_for(is_quiet, lambda: self.node.get("/status"))

    def press(self) -> None:
        """Approve the newest gate as its page does, without scripts."""
        run_id = self.node.get("/gates")["items"][0]["run_id"]
        page = httpx2.get(f"{self.node.url}/ui/runs/{run_id}", trust_env=False).text
        form = re.search(r'<form class="gate".*?</form>', page, re.DOTALL)
        assert form is not None, page
        action = re.search(r'action="([^"]+)"', form[0])
        digest = re.search(r'name="effect_digest" value="([^"]+)"', form[0])
        assert action is not None
        assert digest is not None
        assert re.search(r'value="approve"[^>]*>.*?Approve', form[0], re.DOTALL)
        answer = httpx2.post(
            self.node.url + action[1],
            data={"decision": "approve", "effect_digest": digest[1], "comment": ""},
            trust_env=False,
        )
        assert answer.status_code in {200, 303}, answer.text
        self.wait()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader in a folder that looks like the checkout, with an empty home of their own."""
    checkout = tmp_path / "xyn"
    (checkout / ".venv").mkdir(parents=True)
    xynctl = Path(os.path.realpath(CHECKOUT / ".venv")) / "bin"
    (checkout / ".venv" / "bin").symlink_to(xynctl)
    (checkout / "docs").symlink_to(CHECKOUT / "docs")
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
    }
    environment = clean_environment(
        HOME=str(tmp_path), GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8", **identity
    )
    node = Node(checkout / ".xyn")
    third = Third(tmp_path, environment)
    with Shell(tmp_path, environment) as shell:
        shell.type("cd xyn")
        yield Reader(checkout, node, shell, third)
    third.stop()
    with contextlib.suppress(ProcessLookupError):
        node.stop()


def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    reader.read(FIRST)

    assert "the index was made anew from Git" in reader.node.home.with_name(
        ".xyn.up.log"
    ).read_text(encoding="utf-8")


def test_the_tutorial_of_a_safe_change_does_what_it_says(reader: Reader) -> None:
    reader.read(SAFELY)

    definition = (reader.checkout.parent / "safe-night/blueprints/night/restart.yaml").read_text()
    assert "[CRIT, WARN]" in definition, "what was promoted is taken back"


def test_the_tutorial_of_a_night_shift_does_what_it_says(
    reader: Reader, shared_engine: Engine
) -> None:
    for program, script in (("llmock", "aimock"), ("busybox", "docker"), ("ssh-keyscan", "sshd")):
        neighbour(program, script)
    neighbour_sshd()
    reader.ports = {port: free_port() for port in ("2222", "4010", "5000")}
    chosen = {"DOCKER_HOST": shared_engine.host} if shared_engine.host else {}
    reader.node.environment = chosen
    reader.third.environment |= chosen
    reader.read(NIGHT)
    reader.third.stop()
    shared_engine.docker("image", "rm", "--force", "night-shift/busybox")

    (run,) = reader.node.get("/runs", blueprint_id="bp.night.repair")["items"]
    assert run["outputs"] == {"did": "restart", "helped": True}


def test_the_tutorial_of_an_own_pack_does_what_it_says(reader: Reader) -> None:
    confinement()
    reader.ports = {"8000": free_port()}
    reader.read(OWN_PACK)

    assert reader.third.shows().count("beep!") == 2
