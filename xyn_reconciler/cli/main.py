"""The door of ``xynctl``: parse, run one command, turn what went wrong into an exit code.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 needs approval.
Standard output is the answer alone; everything else goes to standard error.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from xyn_reconciler.cli.output import remark
from xyn_reconciler.cli.parser import build_parser
from xyn_reconciler.model.errors import InvalidError, XynError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # In a locale that cannot say it, a character is escaped instead of failing the answer.
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        options.parser.print_help(sys.stderr)
        return USAGE
    try:
        return _run(options)
    except BrokenPipeError:
        # Whoever reads us (head, less) has enough; do not fail again while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    """Run the command; what can go wrong in anybody's hands is one line, without a traceback."""
    try:
        code: int | None = options.run(options)
    except InvalidError as error:
        message, code = error.message, USAGE
    except XynError as error:
        message, code = error.message, error.exit_code
    except UnicodeError as error:
        message, code = f"what was given is not text in UTF-8: {error}", USAGE
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        message, code = f"{error.strerror or error}{place}", FAILED
    else:
        return code or 0
    remark(f"xynctl: {message}")
    return code
