"""Ctrl-C and SIGTERM as the supervisor hears them, whatever a shell or an import makes of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.running import clean_environment
from xyn_reconciler.node.supervise import Stopped, StopSignal


@pytest.fixture
def _in_the_background() -> Iterator[None]:
    """SIGINT as a shell leaves it to what a script starts with ``&``."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_in_the_background")
def test_sigint_is_heard_also_in_the_background() -> None:
    with pytest.raises(Stopped), StopSignal().heard():
        os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_stop_in_the_middle_of_an_import_leaves_the_exit_code_alone() -> None:
    program = """
import contextlib, sys
from xyn_reconciler.node.supervise import StopSignal
with contextlib.suppress(KeyboardInterrupt), StopSignal().heard():
    exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
sys.exit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(), capture_output=True, check=False
    )

    assert done.returncode == 7, done.stderr
