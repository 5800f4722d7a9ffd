"""What the processes of a node have in common: arguments, log, lifeline, an orderly end."""

import argparse
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.context import open_context
from xyn_reconciler.node.lifeline import watch_lifeline
from xyn_reconciler.node.log import configure_logging
from xyn_reconciler.service.context import Context


@contextmanager
def process(name: str) -> Iterator[tuple[Context, threading.Event]]:
    """Open this process's context, and an event that SIGTERM and the supervisor's end set."""
    parser = argparse.ArgumentParser(
        description=f"The {name} process of a node; xynctl up starts it."
    )
    parser.add_argument("--home", type=Path, required=True)
    home: Path = parser.parse_args().home
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Set here, it could wait for ever: a handler interrupts the thread that is just waiting.
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    watch_lifeline()
    configure_logging(name, Redactor.from_environment(os.environ))
    with open_context(home, os.environ["DATABASE_URL"], os.environ["XYN_URL"]) as context:
        yield context, stop
