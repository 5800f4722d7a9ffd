"""What every view works on: the one open :class:`Context` of this process."""

import flask

from xyn_reconciler.service.context import Context

_KEY = "xyn"


def keep(app: flask.Flask, context: Context) -> None:
    app.extensions[_KEY] = context


def context() -> Context:
    """The context that the application was made with."""
    kept: Context = flask.current_app.extensions[_KEY]
    return kept
