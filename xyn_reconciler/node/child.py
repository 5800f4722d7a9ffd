"""Start one process of the node as a fork of the supervisor, which has imported everything.

An interpreter that imports what a node's process needs takes a second of CPU;
a fork takes a few milliseconds, and its memory is shared. The traps: the
supervisor must have no second thread when it forks, and a fork inherits its
open files. Among them are the home's locks and the pipe that keeps Postgres
alive, so the child lets go of all but what it is given.
"""

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a node."""

_PR_SET_NAME: Final = 15


def fork(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    name: str,
    output: int,
    keep: int,
) -> int:
    """Run ``main()`` of ``module`` in a fork, as ``python -m`` would; gives its pid.

    It prints to the descriptor ``output``, reads nothing, and keeps ``keep``
    open; its session is its own, so that Ctrl-C in a terminal is for the
    supervisor, which ends the others in order.
    """
    # What is still in a buffer would be printed twice.
    sys.stdout.flush()
    sys.stderr.flush()
    with _signals_held():
        pid = os.fork()
        if pid == 0:
            _become(module, arguments, environment, name=name, output=output, keep=keep)
    return pid


def _become(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    name: str,
    output: int,
    keep: int,
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        _name_process(name)
        _let_go_of_files(output, keep)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [module, *arguments]
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        status = importlib.import_module(module).main() or 0
    except SystemExit as error:
        # As the interpreter does it: a number is the status, words are for standard error.
        if not isinstance(error.code, int | None):
            sys.stderr.write(f"{error.code}\n")
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - nothing of the supervisor's may run in the child
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _let_go_of_files(output: int, keep: int) -> None:
    """Leave ``output`` as standard output and error, and ``keep``; all else leads nowhere.

    The numbers stay taken: Python objects of the supervisor still hold them,
    and would otherwise close, when they go, whatever got the number next.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number, source in enumerate((nowhere, output, output)):
        os.dup2(source, number)
    for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - numbers, not paths
        if number not in {0, 1, 2, keep}:
            with contextlib.suppress(OSError):  # the listing's own, closed by now
                os.dup2(nowhere, number, inheritable=False)


def _name_process(name: str) -> None:
    """What ``ps``, ``top`` and the owner of a busy port show; Linux takes 15 bytes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals out: one that comes to the fork too early would find the parent's handler."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
