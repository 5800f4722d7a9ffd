"""What the pages say is so: the tutorial's commands run as they stand, the others at least exist.

A page's fenced blocks are its test. ``sh`` is typed in the second terminal and succeeds,
``sh refused`` fails, ``sh node`` is the first terminal: it stops the node if one runs, and starts
it with ``make up``. ``sh third`` is the third terminal, where a command stays and says ``ready``.
``text`` is what the block before it printed: its lines in their order, others between them, ``…``
for what differs each time; ``text third`` is what the third terminal shows.
"""

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx2
import pytest

from tests.acceptance.docker_engine import docker_engine
from tests.neighbours import confinement, neighbour
from tests.running import Node, clean_environment, free_port, wait_for
from tests.sshd import neighbour_sshd
from xyn_reconciler.cli.parser import build_parser

pytestmark = pytest.mark.acceptance

CHECKOUT = Path(__file__).parents[2]
FIRST, SAFELY, NIGHT, OWN_PACK = (
    CHECKOUT / "docs" / "tutorial" / f"{name}.md"
    for name in ("first-change", "change-it-safely", "a-night-shift", "your-own-pack")
)
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "ARCHITECTURE.md",
    CHECKOUT / "CHANGELOG.md",
    *sorted(set((CHECKOUT / "docs").rglob("*.md")) - set((CHECKOUT / "docs/actions").iterdir())),
]
"""Not ``docs/actions``: those are parts of the pages in ``docs/reference/actions``."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>\S[^\n]*)?\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_PRESS = re.compile(r"^<!-- the test presses: (?P<text>\w+) -->$", re.MULTILINE)
_PAGE = re.compile(r"<http://127\.0\.0\.1:8080(?P<text>/ui/[^>]*)>")
_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)]*))?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; with the info ``press`` a button of the page, with ``look`` a page."""

    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        (m.start(), m["info"] or "", textwrap.dedent(m["text"])) for m in _FENCE.finditer(text)
    ]
    found += [(m.start(), "press", m["text"]) for m in _PRESS.finditer(text)]
    found += [(m.start(), "look", m["text"]) for m in _PAGE.finditer(text)]
    return [Block(info, said, text.count("\n", 0, at) + 2) for at, info, said in sorted(found)]


def assert_printed(expected: str, printed: str, where: str) -> None:
    """Every expected line is in what was printed, in the same order."""
    lines = iter(printed.splitlines())
    for wanted in filter(str.strip, expected.splitlines()):
        parts = (re.escape(part).replace(r"\ ", r"\s+") for part in wanted.split("…"))
        pattern = re.compile(r"\s*" + ".*".join(parts) + r"\s*")
        assert any(pattern.fullmatch(line) for line in lines), (
            f"{where}: {wanted!r} was not printed, or not after the line before it:\n{printed}"
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


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    reader.read(FIRST)

    assert "the index was made anew from Git" in reader.node.home.with_name(
        ".xyn.up.log"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_tutorial_of_a_safe_change_does_what_it_says(reader: Reader) -> None:
    reader.read(SAFELY)

    definition = (reader.checkout.parent / "safe-night/blueprints/night/restart.yaml").read_text()
    assert "[CRIT, WARN]" in definition, "what was promoted is taken back"


@pytest.mark.slow
def test_the_tutorial_of_a_night_shift_does_what_it_says(reader: Reader) -> None:
    for program, script in (("llmock", "aimock"), ("busybox", "docker"), ("ssh-keyscan", "sshd")):
        neighbour(program, script)
    neighbour_sshd()
    reader.ports = {port: free_port() for port in ("2222", "4010", "5000")}
    with docker_engine() as engine:
        chosen = {"DOCKER_HOST": engine.host} if engine.host else {}
        reader.node.environment = chosen
        reader.third.environment |= chosen
        reader.read(NIGHT)
        reader.third.stop()
        engine.docker("image", "rm", "--force", "night-shift/busybox")

    (run,) = reader.node.get("/runs", blueprint_id="bp.night.repair")["items"]
    assert run["outputs"] == {"did": "restart", "helped": True}


@pytest.mark.slow
def test_the_tutorial_of_an_own_pack_does_what_it_says(reader: Reader) -> None:
    confinement()
    reader.ports = {"8000": free_port()}
    reader.read(OWN_PACK)

    assert reader.third.shows().count("beep!") == 2


def test_make_up_prints_what_the_readme_shows(node: Node) -> None:
    shown = [b for b in blocks(CHECKOUT / "README.md") if b.info == "text up"]
    printed = node.home.with_name("home.up.log").read_text(encoding="utf-8")

    assert len(shown) == 1
    *lines, ready = shown[0].text.splitlines()

    assert ready == "ready http://127.0.0.1:8080"
    assert_printed("\n".join(map(_without_details, lines)), printed, "README.md")


def _without_details(line: str) -> str:
    """Take out of a shown line what differs from machine to machine and from start to start."""
    line = re.sub(r"^\[ *[0-9.]+ s\]", "[…]", line)
    line = re.sub(r"[0-9a-f]{40}|[0-9a-f-]{36}|[0-9]+(?= migrations)", "…", line)
    line = re.sub(r"/home/you/xyn/.xyn/state.git", "…/state.git", line)
    line = re.sub(r"/home/you/xyn/\S+", "…", line)
    return line.replace(":8080", ":…")


def test_make_up_is_the_command_that_the_tests_start() -> None:
    recipe = re.search(r"^up:.*\n((?:\t.*\n)+)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)

    assert recipe is not None
    assert recipe[1].rstrip().endswith("xynctl up --demo")


def shell_lines(page: Path) -> Iterator[tuple[str, str]]:
    """Give each command in the page's ``sh`` blocks with its place; a here-document is none."""
    for block in blocks(page):
        if block.info.split()[:1] != ["sh"]:
            continue
        text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block.text, flags=re.MULTILINE | re.DOTALL)
        for line in text.replace("\\\n", " ").splitlines():
            yield f"{page.name}:{block.line}", line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_exists(page: Path) -> None:
    made = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    parser = build_parser()

    for where, line in shell_lines(page):
        for command in re.findall(r"(?:^|[(;&] *|/)(xynctl [^)|;&#]+|make [a-z]+)", line):
            words = shlex.split(command)
            if words[0] == "make":
                assert words[1] in made, f"{where}: {command}"
                continue
            try:
                options = parser.parse_args(words[1:])
            except SystemExit:
                pytest.fail(f"{where}: xynctl does not understand: {command}")
            assert isinstance(options, argparse.Namespace)
            assert options.run is not None, f"{where}: not a command: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for match in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = page.parent / match["path"] if match["path"] else page
        assert target.exists(), f"{page.name}: {match['path']}"
        if match["anchor"] and target.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert match["anchor"] in anchors, f"{page.name}: #{match['anchor']}"
