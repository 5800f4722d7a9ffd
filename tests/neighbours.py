"""The programs that tests meet beside Xyn: a real Alertmanager, browser, Docker engine.

``.ci/neighbours/`` installs them. Where one is missing its tests are skipped
with the command that brings it; with ``CI=true`` they fail, so that a green
run never means that nobody looked.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from xyn_reconciler.action.confined import unavailable


def lacking(reason: str) -> NoReturn:
    """Skip the test for want of something outside Xyn; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)


def neighbour(program: str, script: str) -> Path:
    """The program on PATH that ``.ci/neighbours/<script>.sh`` installs."""
    found = shutil.which(program)
    if found is None:
        lacking(f"no {program} here: sh .ci/neighbours/{script}.sh (as root) installs it")
    return Path(found)


def confinement() -> None:
    """Programs of packs can be confined here; else the test is skipped."""
    why = unavailable()
    if why is not None:
        lacking(f"no program can be confined here: {why}")
