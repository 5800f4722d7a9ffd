"""``artifacts.get``: read an artifact into the outputs, by its id or by step and name.

The bytes are compared with their sha256. At most 1 MB: larger ones are for actions that
take an artifact's id (``http.call``, ``container.exec``).
"""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model import strict_json
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.capability import ActionSpec, FindArtifact
from xyn_reconciler.model.errors import NotFoundError, PermanentError

MOST_BYTES: Final = 1_000_000

SPEC: Final = ActionSpec(
    "artifacts.get",
    "Read an artifact into the outputs.",
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "artifact_id": {"type": "string", "minLength": 1, "maxLength": 36},
            "step": {
                "type": "string",
                "minLength": 1,
                "description": "In place of an id: the step that kept it, with its name.",
            },
            "name": {"type": "string", "minLength": 1, "description": "The newest of that name."},
            "run_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 36,
                "description": "The run of the step; this one by default.",
            },
            "as": {"enum": ["text", "json", "base64"], "default": "text"},
        },
    },
    {
        "type": "object",
        "required": ["artifact_id", "name", "content_type", "byte_length", "sha256"],
        "properties": {
            "artifact_id": {"type": "string"},
            "name": {"type": "string"},
            "content_type": {"type": "string"},
            "byte_length": {"type": "integer"},
            "sha256": {"type": "string"},
            "text": {"type": "string", "description": "The content, as `as` says."},
            "json": {"description": "As above."},
            "base64": {"type": "string", "description": "As above."},
        },
    },
    idempotent=True,
    capabilities=frozenset({"artifacts"}),
    errors={
        "invalid_inputs": "it takes either artifact_id, or step and name",
        "artifact_not_found": "there is no such artifact, or its bytes are not kept any more",
        "artifact_damaged": "the bytes are not those that were kept",
        "denied": "who caused the run may not read what other runs kept",
        "too_large": f"it has more than {MOST_BYTES:,} bytes",
        "not_text": "it is not UTF-8",
        "not_json": "it is not JSON",
    },
)


class ArtifactsGet:
    """Reads what ``find`` names, which ``node`` binds."""

    spec = SPEC

    def __init__(self, find: FindArtifact) -> None:
        self._find = find

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        if ("artifact_id" in inputs) == ("step" in inputs and "name" in inputs):
            raise PermanentError("invalid_inputs", "give either artifact_id, or step and name")
        try:
            artifact_id = self._find(
                artifact_id=_id(inputs.get("artifact_id")),
                run_id=_id(inputs.get("run_id")) or context.run_id,
                step=inputs.get("step"),
                name=inputs.get("name"),
                reader=context.run_id,
            )
            artifact, content = _read(artifact_id, context)
        except NotFoundError as error:
            raise PermanentError("artifact_not_found", error.message) from error
        form = inputs.get("as", "text")
        return {
            "artifact_id": str(artifact_id),
            "name": artifact.name,
            "content_type": artifact.content_type,
            "byte_length": len(content),
            "sha256": artifact.sha256,
            form: _shown(form, artifact.name, content),
        }


def _id(text: str | None) -> uuid.UUID | None:
    try:
        return None if text is None else uuid.UUID(text)
    except ValueError as error:
        raise PermanentError("artifact_not_found", f"{text!r} is not an id") from error


def _read(artifact_id: uuid.UUID, context: ActionContext) -> tuple[Artifact, bytes]:
    if context.open_artifact is None:
        raise NotFoundError("nothing keeps artifacts here")
    artifact, stream = context.open_artifact(artifact_id)
    with stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        message = f"{artifact.name} has more than {MOST_BYTES:,} bytes"
        raise PermanentError("too_large", message)
    if hashlib.sha256(content).hexdigest() != artifact.sha256:
        message = f"the bytes of {artifact.name} are not those that were kept"
        raise PermanentError("artifact_damaged", message)
    return artifact, content


def _shown(form: str, name: str, content: bytes) -> Any:  # noqa: ANN401 - any JSON value
    if form == "base64":
        return base64.b64encode(content).decode("ascii")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise PermanentError("not_text", f"{name} is not UTF-8: take it as base64") from error
    if form == "text":
        return text
    try:
        return strict_json.loads(text)
    except ValueError as error:
        raise PermanentError("not_json", f"{name} is not JSON: {error}") from error
