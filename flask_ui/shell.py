"""What all pages share: a head with the node's status, lists in pages, addresses of files.

The trap: the head asks the database, so the page that says that the database is
away (``error.html``) is rendered without one.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

import flask

from flask_ui import answers, words
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.service import audit, break_glass, node, review_page

PAGE_SIZE: Final = 50
ARGUMENT_MAX: Final = 400
"""Characters of an argument that a page looks at; ids and cursors are shorter."""
_STATIC: Final = Path(__file__).parent / "static"


def full_page(template: str, status: int = 200, /, **values: Any) -> flask.Response:  # noqa: ANN401 - a template's
    """Render a whole page, with its head."""
    return answers.page(
        template,
        status,
        node=node.status(context()),
        checkpoint=audit.last_checkpoint(context()),
        actor=actor(),
        now=context().clock(),
        unsigned=break_glass.unsigned_grants(context()),
        open_reviews=review_page.open_count(context()),
        **values,
    )


def fragment(template: str, /, **values: Any) -> flask.Response:  # noqa: ANN401 - a template's
    """Render a part of a page, as it stands inside it."""
    return answers.page(template, actor=actor(), now=context().clock(), **values)


def argument(name: str) -> str | None:
    """One argument of the query; what no column could hold counts as none at all."""
    value = flask.request.args.get(name, "")
    return value if 0 < len(value) <= ARGUMENT_MAX and "\0" not in value else None


def cursor() -> str | None:
    """Where the list goes on, from the query."""
    return argument("cursor")


def dress(app: flask.Flask) -> None:
    """Give the templates of ``app`` their filters."""
    versions = {
        file.relative_to(_STATIC).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        for file in _STATIC.rglob("*")
        if file.is_file()
    }

    def asset(name: str) -> str:
        return flask.url_for("static", filename=name, v=versions[name])

    app.add_template_global(asset, "asset")
    app.jinja_env.filters |= words.FILTERS
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
