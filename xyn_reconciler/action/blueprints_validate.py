"""``blueprints.validate``: what the checks of a draft have found, and whether it may be promoted.

Seed 9.3.2. The checks are those of its review: the draft merged with ``main`` against all
rules of blueprints, conflicts, secrets, its tests. The step waits for them. The report is an
artifact. A draft with faults is no failure of the step, unless ``must_pass`` says so:
``is_valid`` is false then.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec, ValidateDraft
from xyn_reconciler.model.errors import PermanentError

_TOLD: Final = 3
"""Issues that the message names; the details have all."""

SPEC: Final = ActionSpec(
    "blueprints.validate",
    "Say whether a draft is fit to be promoted.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["draft_id"],
        "properties": {
            "draft_id": {"type": "string", "minLength": 1, "description": "Its id, or its name."},
            "must_pass": {
                "type": "boolean",
                "default": False,
                "description": "Whether the step fails where the draft is not fit.",
            },
        },
    },
    {
        "type": "object",
        "required": ["draft_id", "revision", "is_valid", "issues", "checks"],
        "properties": {
            "draft_id": {"type": "string"},
            "url": {"type": "string", "description": "Where people see its review."},
            "revision": {"type": "integer", "description": "The iteration that was looked at."},
            "is_valid": {
                "type": "boolean",
                "description": "Whether every check that a promotion needs has passed.",
            },
            "issues": {
                "type": "array",
                "description": "What the checks found; `line` is 0 where it is about no line.",
                "items": {
                    "type": "object",
                    "properties": {
                        "check": {"type": "string"},
                        "path": {"type": "string"},
                        "line": {"type": "integer"},
                        "column": {"type": "integer"},
                        "code": {"type": "string"},
                        "message": {"type": "string"},
                    },
                },
            },
            "checks": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Check to passed, failed or skipped.",
            },
            "artifact_id": {"type": "string", "description": "The report."},
        },
    },
    idempotent=True,
    capabilities=frozenset({"drafts", "artifacts"}),
    errors={
        "draft_not_found": "there is no draft of that id or name",
        "invalid_schema": "the draft brings nothing that has rules",
        "conflict": "the draft is closed or promoted already",
        "validation_failed": "with `must_pass`: a check has failed; details has the issues",
        "unavailable": "the checks did not end in time",
        "not_beside_the_repository": "this worker runs on a machine without the node's home",
    },
)


class BlueprintsValidate:
    """Asks ``validate``, which ``node`` binds."""

    spec = SPEC

    def __init__(self, validate: ValidateDraft) -> None:
        self._validate = validate

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        found = self._validate(
            draft=inputs["draft_id"], run_id=context.run_id, seconds=context.seconds_left()
        )
        context.log(f"draft {found['draft_id']}: {'valid' if found['is_valid'] else 'not valid'}")
        if context.artifact is not None:
            report = context.artifact(
                name="validation.json",
                kind="validation_report",
                content_type="application/json",
                content=json.dumps(found, indent=1, ensure_ascii=False).encode("utf-8", "replace"),
            )
            found["artifact_id"] = str(report)
        if inputs.get("must_pass", False) and not found["is_valid"]:
            raise PermanentError("validation_failed", _words(found["issues"]), details=found)
        return found


def _words(issues: Sequence[Mapping[str, Any]]) -> str:
    told = [
        f"{each['path']}:{each['line']}:{each['column']}: {each['code']}: {each['message']}"
        if each["path"]
        else f"{each['check']}: {each['message']}"
        for each in issues[:_TOLD]
    ]
    more = [f"and {len(issues) - _TOLD} more"] if len(issues) > _TOLD else []
    return "the draft is not fit: " + "; ".join([*told, *more])
