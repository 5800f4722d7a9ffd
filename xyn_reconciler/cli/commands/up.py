"""``xynctl up``: start everything, show what a newcomer needs, serve until Ctrl-C."""

import argparse
import os
import time
from collections.abc import Callable

from xyn_reconciler.cli.find import home_path, state_clone
from xyn_reconciler.cli.output import answer, remark
from xyn_reconciler.model.errors import InvalidError, XynError
from xyn_reconciler.node.claim import LOOPBACK, Settings, claimed
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.port import check_port
from xyn_reconciler.node.supervise import StopSignal

DEFAULT_PORT = 8080

Say = Callable[[str], None]


def up(options: argparse.Namespace) -> int:
    """Run the node until Ctrl-C; 0 whenever it was asked to end."""
    if options.compose:
        from xyn_reconciler.cli.commands.compose import compose

        return compose(options.home)
    settings = Settings(
        home=home_path(options.home),
        port=options.port or _port_of(os.environ.get("XYN_PORT")),
        host=options.host or os.environ.get("XYN_HOST") or LOOPBACK,
        role=options.role,
    )
    say, stop = _clock(), StopSignal()
    try:
        with stop.heard():
            _clone_where_we_stand(settings, say)
            with claimed(settings, os.environ, say) as home:
                _run(home, settings, say, stop, demo=options.demo)
    except KeyboardInterrupt:
        say("stopped")
    return 0


def _run(home: Home, settings: Settings, say: Say, stop: StopSignal, *, demo: bool) -> None:
    # Half a second of imports, once home and port are ours.
    from xyn_reconciler.cli.commands.demo import show_demo
    from xyn_reconciler.node.up import Pause
    from xyn_reconciler.node.up import up as run_node

    def ready(pause: Pause) -> None:
        if not settings.serves:
            say(f"the {settings.role} process runs, until Ctrl-C")
            return
        try:
            show_demo(settings.url, home.path, say, emit=demo, pause=pause)
        except XynError as error:
            say(f"the demo did not come to its end: {error.message}")
        answer(f"ready {settings.url}")

    run_node(home, settings, os.environ, say=say, on_ready=ready, stop=stop)


def _clone_where_we_stand(settings: Settings, say: Say) -> None:
    """Make the home from the plain clone of a state repository that we stand in, if so."""
    found = state_clone()
    if found is None or Home(settings.home).repository.exists():
        return
    if settings.serves:
        check_port(settings.port)
    from xyn_reconciler.node.clone import clone

    say(f"this is a clone of a state repository: making a node of it in {settings.home}")
    clone(found.origin, settings.home, identity=None, say=say)


def _clock() -> Say:
    """Say things with the seconds since the start before them."""
    started = time.monotonic()
    return lambda text: remark(f"[{time.monotonic() - started:5.1f} s] {text}")


def _port_of(text: str | None) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:  # noqa: PLR2004 - RFC 9293: 16 bits
        raise InvalidError(f"XYN_PORT is {text!r}; it must be a number between 1 and 65535")
    return int(text)
