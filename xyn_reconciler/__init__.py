"""Xyn: Event -> Blueprint -> Agent -> Action -> Audit, with its truth in a Git repository."""

__version__ = "0.1.0"
