"""The OpenAPI 3.1 document, written from the table of routes and the models that validate."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from flask_ui.api.table import PATH_PARAMETERS, PREFIX, Bytes, Operation
from xyn_reconciler.model.dto import ErrorDto

_REFERENCE: Final = "#/components/schemas/{model}"

COMMON_ERRORS: Final = (401, 421, 500, 503)
"""Whatever is asked: token wanted, host name unknown, a fault of ours, a part that is away."""

_TEXTS: Final = {
    200: "As asked.",
    201: "Created.",
    202: "Taken in.",
    206: "The part that Range asked for.",
    401: "This node wants a token (`auth: required`, or beyond loopback), or knows no such one.",
    403: "A rule forbids it (`denied`), somebody has to agree first (`needs_approval` and others), "
    "or another site's page asked (`cross_origin`).",
    404: "Nothing of that name exists here.",
    409: "It does not fit what is there now.",
    410: "The bytes were taken out on purpose, for good (`retention` in `node.yaml`).",
    412: "These are not the bytes that `If-Match` asked for.",
    413: "The body is too large.",
    415: "The body is of a kind that this address does not read.",
    416: "The range asked for lies outside the bytes.",
    421: "This node does not answer to that host name.",
    422: "What was asked is not well formed; `details.fields` names the fields.",
    429: "Too much at once; `Retry-After` says when to come back.",
    500: "Something went wrong here.",
    503: "A part that this needs does not answer at the moment.",
    507: "The artifact store is full.",
}


def document(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """The whole document as JSON."""
    listed = list(operations)
    schemas = _Schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        described = _operation(operation, schemas)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Xyn",
            "version": version,
            "description": "Events, runs, gates and artifacts of one node. Every answer carries "
            "`X-Correlation-Id`; errors repeat it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": {
                "CorrelationId": {
                    "description": "The id under which log, events and runs know this request.",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
                }
            },
        },
    }


class _Schemas:
    """The models of all operations, once each, and references to them."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (ErrorDto, "serialization"): None
        }
        for operation in operations:
            for body in (operation.body or {}).values():
                if isinstance(body, type):
                    wanted[body, "validation"] = None
            for answer in operation.answers.values():
                if isinstance(answer, type):
                    wanted[answer, "serialization"] = None
        self._by_model, definitions = models_json_schema(list(wanted), ref_template=_REFERENCE)
        self.components = definitions["$defs"]

    def of(self, what: Any, mode: JsonSchemaMode) -> dict[str, Any]:  # noqa: ANN401 - model or schema
        if isinstance(what, type):
            return dict(self._by_model[what, mode])
        return dict(what)


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path(operation), *_query(operation), *_headers(operation)],
        "responses": {
            str(status): _response(status, operation.answers.get(status), schemas)
            for status in sorted({*operation.answers, *_errors(operation)})
        },
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {
                kind: {"schema": schemas.of(body, "validation")}
                for kind, body in operation.body.items()
            },
        }
    return described


def _errors(operation: Operation) -> set[int]:
    errors = {*COMMON_ERRORS, *operation.errors, 422}
    if operation.parameters:
        errors.add(404)
    errors.add(403)
    if operation.method != "GET":
        errors.add(413)
    if operation.body is not None:
        errors.add(415)
    return errors


def _response(status: int, answer: Any, schemas: _Schemas) -> dict[str, Any]:  # noqa: ANN401 - a type
    response: dict[str, Any] = {
        "description": _TEXTS[status],
        "headers": {"X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}},
    }
    if isinstance(answer, Bytes):
        response["description"] = answer.description
        response["content"] = {"*/*": {}}
        return response
    shape = schemas.of(ErrorDto if answer is None else answer, "serialization")
    response["content"] = {"application/json": {"schema": shape}}
    return response


def _path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name][1]}
        for name in operation.parameters
    ]


def _query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=_REFERENCE)
    inlined: Mapping[str, Any] = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "required": False, "schema": _plain(field, inlined)}
        for name, field in schema["properties"].items()
    ]


def _plain(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A query's field without ``null``, which no query can say, and without references."""
    kept = {key: value for key, value in field.items() if key not in {"anyOf", "default", "title"}}
    if field.get("default") is not None:
        kept["default"] = field["default"]
    for option in field.get("anyOf", []):
        if option.get("type") != "null":
            kept |= option
    if "$ref" in kept:
        kept |= definitions[kept.pop("$ref").rsplit("/", 1)[-1]]
    return {key: value for key, value in kept.items() if key not in {"title", "description"}}


def _headers(operation: Operation) -> list[dict[str, Any]]:
    if not operation.idempotent_by_key:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key again gives the same thing again, not another.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        }
    ]
