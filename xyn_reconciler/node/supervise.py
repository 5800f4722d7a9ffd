"""Start the processes of a node, start again whoever dies, stop them in reverse.

``xynctl up`` relies on it. Every child holds the reading end of a pipe whose
writing end is here alone: when this process ends, by whatever signal, each
child reads the end of it and goes too (:mod:`.lifeline`). What a killed start
left all the same is ended at the next one, by :func:`.identity.identity`.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.node.child import fork
from xyn_reconciler.node.home import Home, write_private
from xyn_reconciler.node.identity import identity, pid_of
from xyn_reconciler.node.lifeline import LIFELINE
from xyn_reconciler.node.output import Output

DRAIN_SECONDS: Final = 10.0
"""What a process has to finish what it is doing before it is killed."""

TRIES_TO_START: Final = 3
"""So often a process may give up before the node was ever ready; then something is wrong."""

_NOTED: Final = ".processes.json"
_RESTART_DELAY: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS: Final = 30.0
_LEFTOVER_SECONDS: Final = 5.0
_ONE_HAND_SECONDS: Final = 1.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Child:
    """One process to keep: ``main()`` of ``module``."""

    name: str
    module: str
    arguments: Sequence[str]
    pid: int | None = None
    started: float = 0.0
    deaths: int = 0
    start_at: float = 0.0
    printed_before: int = 0
    """Where in the log what it prints begins."""
    told: str = ""
    """Why it died last, as it was told: the same reason is told once."""


class Supervisor:
    """Keeps children alive until told to stop; ``output`` is where they print."""

    def __init__(self, home: Home, children: Sequence[Child], *, output: Output, say: Say) -> None:
        self._children = list(children)
        self._noted = home.run / f"{os.getpid()}{_NOTED}"
        self._output = output
        self._say = say
        self._environment: dict[str, str] = {}
        self._settled = False
        self._read, self._write = os.pipe()

    def start(self, environment: Mapping[str, str]) -> None:
        """Start every child with this environment, and the lifeline's number in it."""
        self._environment = {**environment, LIFELINE: str(self._read)}
        for child in self._children:
            self._spawn(child)

    def look(self) -> None:
        """Start again whoever has died; called a few times a second.

        Raises ``UnavailableError`` with what a child printed when it cannot start at all.
        """
        self._output.keep_short()
        for child in self._children:
            self._look_after(child)

    def settle(self) -> None:
        """From now on, the node having been ready, no death is reason enough to give up."""
        self._settled = True

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Ask each child to end, in reverse order, and kill what does not within its time.

        Once ``hurry`` says so, none has time.
        """
        for child in reversed(self._children):
            if child.pid is None:
                continue
            _signal(child.pid, signal.SIGTERM)
            until = time.monotonic() + DRAIN_SECONDS
            while _ended(child.pid) is None:
                if hurry() or time.monotonic() > until:
                    self._say(f"the {child.name} process did not end in time and is killed")
                    _signal(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    break
                time.sleep(0.01)
            child.pid = None
        for descriptor in (self._write, self._read):
            os.close(descriptor)
        self._noted.unlink(missing_ok=True)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.pid is not None:
            status = _ended(child.pid)
            if status is None:
                if now - child.started > _STEADY_SECONDS:
                    child.deaths = 0
                return
            delay = _RESTART_DELAY[min(child.deaths, len(_RESTART_DELAY) - 1)]
            child.pid, child.deaths, child.start_at = None, child.deaths + 1, now + delay
            self._tell_of_death(child, status, delay)
        if now >= child.start_at:
            self._spawn(child)

    def _tell_of_death(self, child: Child, status: int, delay: float) -> None:
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
        reason = self._output.since(child.printed_before)
        if not self._settled and child.deaths >= TRIES_TO_START and status >= 0:
            raise UnavailableError(f"the {child.name} process cannot start:\n{reason}")
        again = "" if child.deaths == 1 else f" for the {_ordinal(child.deaths)} time in a row"
        said = f"; it said:\n{reason}" if reason not in {"", child.told} else ""
        child.told = reason
        self._say(
            f"the {child.name} process {how}{again} and is started again in {delay:.1f} s{said}"
        )

    def _spawn(self, child: Child) -> None:
        with self._output.open() as (descriptor, child.printed_before):
            child.pid = fork(
                child.module,
                child.arguments,
                self._environment,
                name=f"xyn-{child.name}",
                output=descriptor,
                keep=self._read,
            )
        child.started = time.monotonic()
        self._note()

    def _note(self) -> None:
        """Write down who runs, for the next start to clean up after this one."""
        living = {c.name: identity(c.pid) for c in self._children if c.pid is not None}
        note = {"supervisor": identity(os.getpid()), "children": living}
        write_private(self._noted, json.dumps(note))


def end_leftovers(home: Home) -> list[str]:
    """End what killed starts left running; gives the names of those processes."""
    ended = []
    for file in home.run.glob(f"*{_NOTED}"):
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        # Another role of this home, or a second worker, looks after its own.
        if not _lives(note["supervisor"]):
            ended += _end({n: named for n, named in note["children"].items() if _lives(named)})
            file.unlink(missing_ok=True)
    return ended


def _end(left: Mapping[str, str]) -> list[str]:
    for named in left.values():
        _signal(pid_of(named), signal.SIGKILL)
    until = time.monotonic() + _LEFTOVER_SECONDS
    while any(map(_lives, left.values())) and time.monotonic() < until:
        time.sleep(0.01)
    return list(left)


def _lives(named: str | None) -> bool:
    return named is not None and identity(pid_of(named)) == named


class Stopped(KeyboardInterrupt):
    """Somebody asked for the end.

    A class of its own, because a plain ``KeyboardInterrupt`` that passes through
    ``exec`` of a text (imports do that, for dataclasses) makes CPython end the
    process by SIGINT even when it is caught.
    """


class StopSignal:
    """SIGINT, SIGTERM, SIGHUP: the first raises :class:`Stopped`, a later one asks for haste.

    So a start unwinds wherever it is, and its end is not cut short by the same
    hand: a terminal and timeout(1) tell a process and its group, which is twice.
    A SIGHUP that was ignored (``nohup``) stays so; a SIGINT does not, for a shell
    ignores it for whatever a script starts in the background.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._again = False

    def hurry(self) -> bool:
        """Whether it was asked for again, after a second or more."""
        return self._again

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, *_: object) -> None:
        if self._first is None:
            self._first = time.monotonic()
            raise Stopped
        self._again = self._again or time.monotonic() - self._first > _ONE_HAND_SECONDS


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended(pid: int) -> int | None:
    """The exit code, negative for a signal's number; ``None`` while it lives."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
