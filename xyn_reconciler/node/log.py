"""JSON logs on standard output, with correlation, run and step ids (seed 32).

``correlate(run_id=...)`` binds ids for everything logged inside it, in this
thread and what it awaits. Every line passes the redactor.
"""

import contextlib
import contextvars
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.redaction import Redactor

# Made once: json.dumps makes one a call for anything but its defaults.
_LINE: Final = json.JSONEncoder(default=str)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_bound: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar(
    "bound", default=None
)


@contextlib.contextmanager
def correlate(**ids: str) -> Iterator[None]:
    """Add ids to every line logged inside."""
    token = _bound.set({**(_bound.get() or {}), **ids})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, process, logger, message, bound ids and ``extra``."""

    def __init__(self, process: str, redactor: Redactor) -> None:
        super().__init__()
        self._process = process
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": isoformat(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **(_bound.get() or {}),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self.redactor.text(_LINE.encode(line))


def log_without_secrets(redactor: Redactor) -> None:
    """Have the lines of this process pass the redactor that learns, if it prints any."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            handler.formatter.redactor = redactor


def configure_logging(process: str, redactor: Redactor) -> None:
    """Send everything from level info on to standard output; libraries from warning on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(process, redactor))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("xyn_reconciler", "flask_ui"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    # Nobody reads them, and every request is a line ("Optimization" in Python's logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
