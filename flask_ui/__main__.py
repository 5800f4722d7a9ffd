"""The web process: ``python -m flask_ui --home H --port P [--host ADDRESS]``.

``xynctl up`` starts it, says the same things in ``XYN_HOME``, ``XYN_PORT`` and
``XYN_HOST``, and holds its lifeline.
"""

import argparse
import os
import socket
import struct
import sys
from pathlib import Path

from flask_ui.access import settle
from flask_ui.app import create_app
from flask_ui.serve import bind, serve
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.context import open_context
from xyn_reconciler.node.lifeline import watch_lifeline
from xyn_reconciler.node.log import configure_logging

_ROUTES = Path("/proc/net/route")


def main() -> int:
    arguments = _arguments()
    watch_lifeline()
    configure_logging("web", Redactor.from_environment(os.environ))
    url = os.environ.get("XYN_URL", f"http://127.0.0.1:{arguments.port}")
    try:
        addresses, access = settle(arguments.host, os.environ, url=url, gateway=_gateway())
        sockets = bind(addresses, arguments.port)
        with open_context(arguments.home, os.environ["DATABASE_URL"], url) as context:
            context.secrets.follow()
            serve(create_app(context, access=access), sockets)
    except XynError as error:
        print(f"xyn web: {error.message}", file=sys.stderr)  # noqa: T201 - for whoever started it
        return error.exit_code
    sys.stdout.flush()
    # Threads that still wait for a slow client must not hold up the end.
    os._exit(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flask_ui", description="Serve a node's pages and API."
    )
    home, port = os.environ.get("XYN_HOME"), os.environ.get("XYN_PORT")
    parser.add_argument("--home", type=Path, default=home, required=home is None)
    parser.add_argument("--port", type=int, default=port, required=port is None)
    parser.add_argument(
        "--host", default=os.environ.get("XYN_HOST"), help="beyond loopback: needs XYN_TOKEN"
    )
    return parser.parse_args()


def _gateway() -> str | None:
    """The default gateway (``/proc/net/route``, little-endian hex): a container's host."""
    try:
        lines = _ROUTES.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        _, destination, gateway, *_ = line.split()
        if destination == "00000000":
            return socket.inet_ntoa(struct.pack("<I", int(gateway, 16)))
    return None


if __name__ == "__main__":
    sys.exit(main())
