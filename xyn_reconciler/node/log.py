"""JSON logs on standard output, with correlation, run and step ids (seed 32).

The ids are those that :mod:`..model.correlation` has bound where a line is
written. Every line passes the redactor.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from xyn_reconciler.model.correlation import bound
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.redaction import Redactor

# Made once: json.dumps makes one a call for anything but its defaults.
_LINE: Final = json.JSONEncoder(default=str)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


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
            **bound(),
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
