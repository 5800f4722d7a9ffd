"""``http.call``: one HTTP request, bounded in where it goes, how long it takes and what it keeps.

An answer outside ``expect_status`` is a failure: 429 and 5xx may be
tried again, after ``Retry-After`` where the server names it.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.body import MAX_BYTES
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec

MOST_BYTES: Final = 4_000_000
"""The largest ``max_bytes``; more belongs into an artifact."""

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "description": "Absolute, http or https, without user info."},
        "method": {
            "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
            "default": "GET",
        },
        "headers": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "description": "Host and the headers of the connection itself cannot be set.",
        },
        "query": {
            "type": "object",
            "additionalProperties": {
                "type": ["string", "number", "boolean", "array"],
                "items": {"type": ["string", "number", "boolean"]},
            },
            "description": "Added to the URL's own query; a list repeats its name.",
        },
        "json": {"description": "Sent as JSON."},
        "form": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "description": "Sent as application/x-www-form-urlencoded.",
        },
        "body": {"type": "string", "description": "Sent as it is, in UTF-8."},
        "bearer_ref": {
            "type": "string",
            "description": "Secret sent as Authorization: Bearer, such as env/TOKEN.",
        },
        "expect_status": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
            "description": "Answers that count as success; 200 to 299 by default.",
        },
        "follow_redirects": {"type": "boolean", "default": True},
        "max_bytes": {"type": "integer", "minimum": 0, "maximum": MOST_BYTES, "default": MAX_BYTES},
    },
}

OUTPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["status", "headers", "body", "json"],
    "properties": {
        "status": {"type": "integer"},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Names in lower case; several of one name are joined by a comma.",
        },
        "body": {"type": "string", "description": "The answer as text."},
        "json": {"description": "The answer parsed, where it is JSON; else null."},
    },
}


class HttpCall:
    """The action ``http.call``."""

    spec = ActionSpec(
        "http.call",
        "Make one HTTP request.",
        INPUT_SCHEMA,
        OUTPUT_SCHEMA,
        # A GET is, a POST is not; an idempotency_key says so for the latter.
        idempotent=False,
    )

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Send the request and give ``{status, headers, body, json}``.

        Codes: ``invalid_url``, ``invalid_header``, ``invalid_inputs``,
        ``secret_not_found``, ``egress_denied``, ``host_unresolved``,
        ``connection``, ``tls_failed``, ``timeout``, ``cancelled``,
        ``too_many_redirects``, ``too_large``, ``bad_body``, ``http_status``.
        """
        from xyn_reconciler.action.http_request import call  # noqa: PLC0415 - by the first call alone

        return call(inputs, context, inputs.get("max_bytes", MAX_BYTES))
