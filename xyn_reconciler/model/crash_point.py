"""Places where a test may have the process killed: one at every ``=>`` of the flow."""

import os
import signal


def crash_point(name: str) -> None:
    """Kill this process as ``kill -9`` would, where ``XYN_CRASH_AT`` names this point."""
    if os.environ.get("XYN_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
