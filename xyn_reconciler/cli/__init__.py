"""``xynctl``: ask a node by its HTTP API, or work on a home that no node runs in.

Nothing heavy is imported before a command needs it: ``xynctl --help`` knows
neither SQLAlchemy nor Flask nor an SDK.
"""

from xyn_reconciler.cli.main import main

__all__ = ["main"]
