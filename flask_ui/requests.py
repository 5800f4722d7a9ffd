"""Read what a request brings: query, JSON, forms. Refuse what does not fit, naming each field.

The trap: ``int`` of Python and pydantic read more than a person would write
(``1_0``, `` 5 ``), and a repeated parameter says two things at once.
"""

import re
from typing import Final, TypeVar

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.wrappers import Request

from flask_ui.answers import InvalidFieldsError, to_json
from flask_ui.security import UnsupportedTypeError
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.trigger import json_body

Model = TypeVar("Model", bound=BaseModel)

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def query(model: type[Model]) -> Model:
    """The request's query; unknown and repeated parameters are refused."""
    given = flask.request.args.to_dict(flat=False)
    repeated = sorted(name for name, values in given.items() if len(values) > 1)
    if repeated:
        raise InvalidError(f"given more than once: {', '.join(repeated)}")
    try:
        return model.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        raise InvalidFieldsError.of(error, where="query") from error


def json_model(model: type[Model], *, optional: bool = False) -> Model:
    """The request's JSON body; none at all counts as ``{}`` where it is ``optional``."""
    if optional and not flask.request.get_data():
        return model.model_validate({})
    return validated(model, json_body.read(json_bytes(flask.request)))


def json_bytes(request: Request) -> bytes:
    """The request's JSON body as it came, for whoever keeps it so."""
    if request.mimetype != "application/json":
        raise UnsupportedTypeError("send application/json")
    return request.get_data()


def validated(model: type[Model], value: object) -> Model:
    """A JSON value as ``model``; strict, so that ``"5"`` is no number."""
    try:
        return model.model_validate_json(to_json(value), strict=True)
    except ValidationError as error:
        raise InvalidFieldsError.of(error, where="body") from error


def form() -> dict[str, str]:
    """The fields of a page's form; a repeated field counts once, with its last value."""
    if flask.request.mimetype != "application/x-www-form-urlencoded":
        raise UnsupportedTypeError("send application/x-www-form-urlencoded")
    return {name: values[-1] for name, values in flask.request.form.lists()}


def idempotency_key(request: Request) -> str | None:
    """The ``Idempotency-Key`` header: 1 to 255 visible ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidError("an Idempotency-Key has 1 to 255 visible ASCII characters")
    return key
