"""Turn results and errors into answers: JSON of DTOs, errors in the shape of seed 45.7 or a page.

Programs get JSON at every address but ``/ui``; people get a page of the same
words. The trap: text that strangers sent may hold lone surrogates, which no
UTF-8 answer can carry.
"""

import json
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from flask_ui import words
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
    return json.dumps(
        value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=words.scalar
    )


def json_answer(value: Any, status: int = 200) -> flask.Response:  # noqa: ANN401 - see to_json
    return flask.Response(to_json(value), status=status, mimetype="application/json")


def page(template: str, status: int = 200, /, **values: Any) -> flask.Response:  # noqa: ANN401
    """Render a template; what UTF-8 cannot say becomes a question mark."""
    text = flask.render_template(template, **values)
    return flask.Response(
        text.encode("utf-8", "replace"), status=status, content_type="text/html; charset=utf-8"
    )


def error_answer(
    status: int,
    code: str,
    message: str,
    *,
    details: dict[str, Any] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> flask.Response:
    """An error for whoever asked: a page below ``/ui``, JSON everywhere else."""
    correlation_id = flask.g.get("correlation_id")
    if flask.request.path.startswith("/ui") or flask.request.path == "/":
        response = page(
            "error.html",
            status,
            status=status,
            title=HTTPStatus(status).phrase,
            code=code,
            message=message,
            correlation_id=correlation_id,
        )
    else:
        body = ErrorDto(
            error=ErrorBody(code=code, message=message, details=details),
            correlation_id=correlation_id,
        )
        response = json_answer(body, status)
    response.headers.extend(headers)
    return response


def answer_errors(app: flask.Flask) -> None:
    """Make every error of ``app``, its own and Flask's, an answer in our shape."""

    @app.errorhandler(XynError)
    def _expected(error: XynError) -> flask.Response:
        details, headers = dict(error.details or {}), []
        if "retry_after" in details:
            headers.append(("Retry-After", str(details["retry_after"])))
        if error.http_status == HTTPStatus.UNAUTHORIZED:
            # Git and browsers are asked in the one way they know, programs in theirs.
            scheme = "Bearer" if flask.request.path.startswith("/api/") else "Basic"
            headers.append(("WWW-Authenticate", f'{scheme} realm="xyn"'))
        return error_answer(
            error.http_status, error.code, error.message, details=details or None, headers=headers
        )

    @app.errorhandler(HTTPException)
    def _of_flask(error: HTTPException) -> flask.Response | HTTPException:
        status = error.code or 500
        if status < HTTPStatus.BAD_REQUEST:
            return error
        # Allow belongs to 405 (RFC 9110, section 15.5.6), Content-Range to 416.
        kept = [(k, v) for k, v in error.get_headers() if k in {"Allow", "Content-Range"}]
        code = _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))
        return error_answer(
            status, code, error.description or HTTPStatus(status).phrase, headers=kept
        )

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> flask.Response:
        logger.error("a request failed unexpectedly", exc_info=error)
        return error_answer(
            500, "internal_error", "something went wrong here; the node's log has it under this id"
        )
