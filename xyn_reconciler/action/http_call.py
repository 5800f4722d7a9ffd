"""``http.call``: one HTTP request, bounded in where it goes, how long it takes and what it keeps.

An answer outside ``expect_status`` is a failure: 429 and 5xx may be
tried again, after ``Retry-After`` where the server names it.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.body import MAX_BYTES
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.units import DURATION

MOST_BYTES: Final = 4_000_000
"""The largest ``max_bytes``; more belongs into an artifact."""

_PLAIN: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"]}

_PART: Final[dict[str, Any]] = {
    "anyOf": [
        _PLAIN,
        {
            "type": "object",
            "additionalProperties": False,
            "oneOf": [{"required": ["text"]}, {"required": ["artifact_id"]}],
            "properties": {
                "text": {"type": "string"},
                "artifact_id": {"type": "string", "description": "Of an artifact of this node."},
                "filename": {
                    "type": "string",
                    "description": "Folders in it are left out; an artifact has its own name.",
                },
                "content_type": {"type": "string"},
            },
        },
    ]
}

BASIC: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["user", "password_ref"],
    "properties": {
        # RFC 7617, section 2: the first colon begins the password.
        "user": {"type": "string", "pattern": "^[^:\\r\\n]+$"},
        "password_ref": {"type": "string", "minLength": 1},
    },
    "description": "Sent as Authorization: Basic.",
}

_AUTH: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "description": "How to prove who asks; never sent on to another origin.",
    "properties": {
        "bearer_ref": {
            "type": "string",
            "description": "Secret sent as Authorization: Bearer, such as env/TOKEN.",
        },
        "basic": BASIC,
        "header": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "value_ref"],
            "properties": {"name": {"type": "string"}, "value_ref": {"type": "string"}},
            "description": "Secret sent as it is, in a header of any name.",
        },
    },
}

_TLS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "dependentRequired": {"client_key_ref": ["client_cert_ref"]},
    "properties": {
        "ca": {
            "type": "string",
            "minLength": 1,
            "description": "Authorities in PEM that are trusted instead of the public ones.",
        },
        "client_cert_ref": {
            "type": "string",
            "description": "Secret with the client's certificate in PEM, and its key or"
            " client_key_ref; shown to the URL's own origin alone.",
        },
        "client_key_ref": {"type": "string", "description": "Secret with its key, unencrypted."},
        "server_name": {
            "type": "string",
            "minLength": 1,
            "description": "Asked for and checked instead of the URL's host.",
        },
        "min_version": {"enum": ["1.2", "1.3", 1.2, 1.3], "default": "1.2"},
        "verify": {
            "type": "boolean",
            "default": True,
            "description": "False takes any certificate; not on the public network.",
        },
    },
}

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
            "additionalProperties": _PLAIN,
            "description": "Host and the headers of the connection itself cannot be set.",
        },
        "query": {
            "type": "object",
            "additionalProperties": {
                "type": ["string", "number", "boolean", "array"],
                "items": _PLAIN,
            },
            "description": "Added to the URL's own query; a list repeats its name.",
        },
        "json": {"description": "Sent as JSON. Of json, form, body and multipart, one at most."},
        "form": {
            "type": "object",
            "additionalProperties": _PLAIN,
            "description": "Sent as application/x-www-form-urlencoded.",
        },
        "body": {"type": "string", "description": "Sent as it is, in UTF-8."},
        "multipart": {
            "type": "object",
            "additionalProperties": {"anyOf": [_PART, {"type": "array", "items": _PART}]},
            "description": "Sent as multipart/form-data: texts, and files of a text or an"
            " artifact; a list repeats its name.",
        },
        "auth": _AUTH,
        "bearer_ref": {"type": "string", "description": "Short for auth: {bearer_ref: ...}."},
        "expect_status": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
            "description": "Answers that count as success; 200 to 299 by default.",
        },
        "follow_redirects": {
            "type": "boolean",
            "default": True,
            "description": "At most 5, and none that expect_status names.",
        },
        "timeout": {
            "type": "string",
            "pattern": f"^{DURATION.pattern}$",
            "description": "For all of the call, as 10s; the step's own timeout holds as well.",
        },
        "max_bytes": {
            "type": "integer",
            "minimum": 0,
            "maximum": MOST_BYTES,
            "default": MAX_BYTES,
            "description": "Of the answer's body, unpacked.",
        },
        "save_to": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "description": "The answer's body becomes an artifact of this name, and may be as"
            " large as one.",
        },
        "tls": _TLS,
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
        "body": {"type": "string", "description": "The answer as text; empty with save_to."},
        "json": {"description": "The answer parsed, where it is JSON; else null."},
        "certificate": {
            "type": "object",
            "description": "Of an answer over https whose certificate was checked.",
            "properties": {
                "subject": {"type": "string"},
                "issuer": {"type": "string"},
                "names": {"type": "array", "items": {"type": "string"}},
                "not_before": {"type": "string"},
                "not_after": {"type": "string"},
            },
        },
        "artifact_id": {"type": "string", "description": "With save_to."},
        "sha256": {
            "type": "string",
            "description": "With save_to: of the body as it came, unpacked, in hex. The"
            " artifact's own is another where a secret was taken out of it.",
        },
        "bytes": {"type": "integer", "description": "With save_to: of the same."},
    },
}

ERRORS: Final = {
    "artifact_not_found": "multipart names an artifact that is not here",
    "bad_body": "the answer's body is damaged, or packed in a way that was not asked for",
    "connection": "the other side cannot be reached or closed early; worth another try",
    "egress_denied": "the address is not on the public network, and egress.allow of node.yaml"
    " does not name it; the message has the line to write",
    "host_unresolved": "the name does not resolve; worth another try",
    "http_status": "another status than expected: details has it, and the body's beginning;"
    " 429 and 5xx are worth another try, not before Retry-After (at most an hour)",
    "invalid_header": "a header cannot be sent or cannot be set",
    "invalid_secret": "a secret is no text in UTF-8",
    "invalid_url": "the URL is not well formed, holds a user or a control character, or two"
    " programs could read it in two ways; also one that a redirect names",
    "secret_not_found": "a reference names nothing on this node",
    "tls_failed": "the certificate is not trusted, or the two do not agree on how to secure it",
    "too_large": "the body is larger than max_bytes (with save_to: than an artifact may be),"
    " also after unpacking",
    "too_many_redirects": "more than 5",
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
        capabilities=frozenset({"network", "secrets", "artifacts"}),
        redact=(
            "headers.authentication-info",
            "headers.authorization",
            "headers.set-cookie",
            "headers.x-api-key",
            "headers.x-auth-token",
            "headers.x-subject-token",
        ),
        errors=ERRORS,
    )

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Send the request and give ``{status, headers, body, json}``.

        Fails with the codes of :data:`ERRORS`, and those of every action.
        """
        from xyn_reconciler.action.http_request import call  # noqa: PLC0415 - by the first call alone

        return call(inputs, context, inputs.get("max_bytes", MAX_BYTES))
