"""``blueprints.promote``: merge a draft into ``main``, so that its blueprint is active.

Seed 9.3.3. It goes the way of every promotion: the checks of exactly this draft have to have
passed, policies and votes of people decide, in the name of whoever caused the run. A service
or an agent never promotes, whatever a policy says: then the step fails with ``denied``. An
attempt that comes again finds the promotion of the one before.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec, PromoteDraft

SPEC: Final = ActionSpec(
    "blueprints.promote",
    "Promote a draft.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["draft_id"],
        "properties": {
            "draft_id": {"type": "string", "minLength": 1, "description": "Its id, or its name."}
        },
    },
    {
        "type": "object",
        "required": ["blueprint_id", "blueprint_ids", "version", "status"],
        "properties": {
            "blueprint_id": {
                "type": ["string", "null"],
                "description": "The first of them; null where the draft brings no blueprint.",
            },
            "blueprint_ids": {"type": "array", "items": {"type": "string"}},
            "version": {"type": "string", "description": "The commit of main that brought it."},
            "status": {"const": "active"},
        },
    },
    idempotent=True,  # An attempt finds the promotion of the one before.
    capabilities=frozenset({"drafts"}),
    errors={
        "draft_not_found": "there is no draft of that id or name",
        "validation_failed": "a check of exactly this draft has failed",
        "conflict": "it does not merge, is closed, or was promoted by somebody else",
        "denied": "who caused the run may not promote this; a service or an agent never may",
        "needs_approval": "people have to approve it first",
        "unavailable": "the checks did not end in time, or the node has not applied it yet",
        "not_beside_the_repository": "this worker runs on a machine without the node's home",
    },
)


class BlueprintsPromote:
    """Promotes through ``promote``, which ``node`` binds."""

    spec = SPEC

    def __init__(self, promote: PromoteDraft) -> None:
        self._promote = promote

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        blueprints, version = self._promote(
            draft=inputs["draft_id"], run_id=context.run_id, seconds=context.seconds_left()
        )
        context.log(f"draft {inputs['draft_id']} is promoted: {version}")
        return {
            "blueprint_id": blueprints[0] if blueprints else None,
            "blueprint_ids": list(blueprints),
            "version": version,
            "status": "active",
        }
