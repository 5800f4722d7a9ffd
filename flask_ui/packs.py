"""Packs: which systems this node knows how to speak to, and what each brings along."""

import flask

from flask_ui.shell import PAGE_SIZE, cursor, full_page
from flask_ui.state import context
from xyn_reconciler.service import packs as service

packs = flask.Blueprint("packs", __name__, url_prefix="/ui/packs")


@packs.get("")
def show_list() -> flask.Response:
    found = service.list_packs(context(), limit=PAGE_SIZE, cursor=cursor())
    return full_page("packs/list.html", packs=found, first_page=cursor() is None)


@packs.get("/<name:pack_id>")
def show(pack_id: str) -> flask.Response:
    return full_page("packs/detail.html", pack=service.get_pack(context(), pack_id))
