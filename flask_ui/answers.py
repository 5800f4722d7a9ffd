"""Turn results and errors into answers: JSON of DTOs, errors in the shape of seed 45.7 or a page.

Programs get JSON at every address but ``/ui``; people get a page of the same
words. The trap: text that strangers sent may hold lone surrogates, which no
UTF-8 answer can carry.
"""

import json
import logging
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, NotFound

from flask_ui import words
from flask_ui.security import SAFE_METHODS, EncodedBodyError, SignInError
from flask_ui.state import context
from xyn_reconciler.model.dto import ErrorBody, ErrorDto
from xyn_reconciler.model.errors import InvalidError, XynError

logger = logging.getLogger(__name__)

_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid_request",
}


class InvalidFieldsError(InvalidError):
    """Some fields do not fit; ``details.fields`` maps each to what to do about it."""

    code = "invalid_fields"

    @classmethod
    def of(cls, error: ValidationError, *, where: str) -> "InvalidFieldsError":
        fields = {
            ".".join(map(str, found["loc"])) or where: found["msg"]
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        }
        listed = "; ".join(f"{name}: {message}" for name, message in sorted(fields.items()))
        return cls(f"the {where} does not fit: {listed}", details={"fields": fields})


def to_json(value: Any) -> str:  # noqa: ANN401 - any JSON value or DTO
    """JSON text in ASCII, so that even lone surrogates travel (as escapes)."""
    if isinstance(value, BaseModel):
        # Not in pydantic's own JSON form: it alters or refuses a key with a lone surrogate.
        value = value.model_dump(mode="python")
    return _ENCODER.encode(value)


# Made once: json.dumps makes one a call for anything but its defaults.
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=words.scalar
)


def json_answer(value: Any, status: int = 200) -> flask.Response:  # noqa: ANN401 - see to_json
    return flask.Response(to_json(value), status=status, mimetype="application/json")


def page(template: str, status: int = 200, /, **values: Any) -> flask.Response:  # noqa: ANN401 - a template's
    """Render a template; what UTF-8 cannot say becomes a question mark."""
    text = flask.render_template(template, **values)
    return flask.Response(
        text.encode("utf-8", "replace"), status=status, content_type="text/html; charset=utf-8"
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said of an error, whoever asked."""

    status: int
    code: str
    message: str
    details: dict[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def dto(self, correlation_id: str | None) -> ErrorDto:
        return ErrorDto(
            error=ErrorBody(code=self.code, message=self.message, details=self.details),
            correlation_id=correlation_id,
        )


def failure_of(error: Exception, path: str) -> Failure:
    """Tell an error of a request for ``path``; one that nobody expected is logged."""
    if isinstance(error, XynError):
        return _expected(error, path)
    if isinstance(error, HTTPException):
        return _of_flask(error, path)
    logger.error("a request failed unexpectedly", exc_info=error)
    return Failure(
        500, "internal_error", "something went wrong here; the node's log has it under this id"
    )


def _expected(error: XynError, path: str) -> Failure:
    details, headers = dict(error.details or {}), []
    if "retry_after" in details:
        headers.append(("Retry-After", str(details["retry_after"])))
    if isinstance(error, EncodedBodyError):
        headers.append(("Accept-Encoding", "identity"))  # RFC 9110, section 15.5.16
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        # Git and browsers are asked in the one way they know, programs in theirs.
        scheme = "Bearer" if path.startswith("/api/") else "Basic"
        headers.append(("WWW-Authenticate", f'{scheme} realm="xyn"'))
    return Failure(error.http_status, error.code, error.message, details or None, tuple(headers))


def _of_flask(error: HTTPException, path: str) -> Failure:
    status = error.code or 500
    # Allow belongs to 405 (RFC 9110, section 15.5.6), Content-Range to 416.
    kept = [(k, v) for k, v in error.get_headers() if k in {"Allow", "Content-Range"}]
    phrase = HTTPStatus(status).phrase
    code = _CODES.get(status, phrase.lower().replace(" ", "_"))
    said = f"there is nothing at {path}" if isinstance(error, NotFound) else error.description
    return Failure(status, code, said or phrase, headers=tuple(kept))


def error_answer(failure: Failure) -> flask.Response:
    """An error for whoever asked: a page below ``/ui``, JSON everywhere else.

    It may repeat what was asked, and whoever asked may not know that it is a secret.
    """
    redactor = context().redactor
    failure = replace(
        failure,
        message=redactor.text(failure.message),
        details=redactor.value(failure.details),
    )
    correlation_id = flask.g.get("correlation_id")
    if _is_page(flask.request.path):
        response = page(
            "error.html",
            failure.status,
            status=failure.status,
            title=HTTPStatus(failure.status).phrase,
            code=failure.code,
            message=failure.message,
            correlation_id=correlation_id,
        )
    else:
        response = json_answer(failure.dto(correlation_id), failure.status)
    response.headers.extend(failure.headers)
    return response


def _is_page(path: str) -> bool:
    return path.startswith("/ui") or path == "/"


def _to_sign_in() -> flask.Response:
    """Show where to sign in; a part of a page asks for the whole page to go there."""
    request = flask.request
    back = request.full_path.rstrip("?") if request.method in SAFE_METHODS else ""
    if "HX-Request" in request.headers:
        back = urlsplit(request.headers.get("HX-Current-URL", "")).path
        to = flask.url_for("sessions.show_login", next=back or None)
        return flask.Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": to})
    to = flask.url_for("sessions.show_login", next=back or None)
    return flask.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": to})


def answer_errors(app: flask.Flask) -> None:
    """Make every error of ``app``, its own and Flask's, an answer in our shape."""

    @app.errorhandler(Exception)
    def _answer(error: Exception) -> flask.Response | HTTPException:
        if isinstance(error, HTTPException) and (error.code or 500) < HTTPStatus.BAD_REQUEST:
            return error
        if isinstance(error, SignInError) and _is_page(flask.request.path):
            return _to_sign_in()
        return error_answer(failure_of(error, flask.request.path))
