"""What the processes of a node have in common: arguments, log, lifeline, an orderly end."""

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.lifeline import watch_lifeline
from xyn_reconciler.node.log import configure_logging

Opened = TypeVar("Opened")


@contextmanager
def process(
    name: str, opened: Callable[[Path], AbstractContextManager[Opened]]
) -> Iterator[tuple[Opened, threading.Event]]:
    """Open what this process needs of a home; beside it an event for its end.

    SIGTERM sets the event, and so does the supervisor's own end.
    """
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
    with opened(home) as stores:
        yield stores, stop
