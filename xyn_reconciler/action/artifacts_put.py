"""``artifacts.put``: keep text, JSON or bytes as an artifact of the run.

Secrets are taken out of what is kept, as out of every artifact. An attempt that comes
again keeps it again: the outputs name the one that counts.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError

_FORMS: Final = {
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "base64": "application/octet-stream",
}
"""What can be given, and its content type where none is named."""

SPEC: Final = ActionSpec(
    "artifacts.put",
    "Keep text, JSON or bytes as an artifact.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "oneOf": [{"required": [form]} for form in _FORMS],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "kind": {"type": "string", "minLength": 1, "maxLength": 100, "default": "output"},
            "content_type": {
                "type": "string",
                "maxLength": 200,
                "pattern": "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[ -~]*)?$",
                "description": "Else text/plain, application/json or application/octet-stream.",
            },
            "retention": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "The class of node.yaml that says how long it stays;"
                " else the kind is the class.",
            },
            "text": {"type": "string", "description": "Kept in UTF-8."},
            "json": {"description": "Any JSON, kept with its keys sorted."},
            "base64": {"type": "string", "description": "Bytes, as RFC 4648 writes them."},
        },
    },
    {
        "type": "object",
        "required": ["artifact_id", "byte_length"],
        "properties": {
            "artifact_id": {"type": "string"},
            "byte_length": {
                "type": "integer",
                "description": "Of what was given, before secrets were taken out.",
            },
        },
    },
    idempotent=True,
    capabilities=frozenset({"artifacts"}),
    errors={
        "invalid_inputs": "what is said to be base64 is not",
        "no_artifacts": "nothing keeps artifacts here",
        "too_large": "it has more bytes than one artifact may have",
        "quota_exceeded": "the artifact store is full",
    },
)


class ArtifactsPut:
    """The action ``artifacts.put``."""

    spec = SPEC

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        (form,) = _FORMS.keys() & inputs
        if context.artifact is None:
            raise PermanentError("no_artifacts", "nothing keeps artifacts here")
        content = _bytes(form, inputs[form])
        kept = context.artifact(
            name=inputs["name"],
            kind=inputs.get("kind", "output"),
            content_type=inputs.get("content_type", _FORMS[form]),
            content=content,
            retention=inputs.get("retention"),
        )
        context.log(f"artifact {inputs['name']}: {kept}, {len(content)} bytes")
        return {"artifact_id": str(kept), "byte_length": len(content)}


def _bytes(form: str, given: Any) -> bytes:  # noqa: ANN401 - any JSON value
    if form == "text":
        return str(given).encode("utf-8", "replace")
    if form == "json":
        text = json.dumps(given, indent=1, sort_keys=True, ensure_ascii=False)
        return f"{text}\n".encode("utf-8", "replace")
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PermanentError("invalid_inputs", "base64 is not base64 (RFC 4648)") from error
