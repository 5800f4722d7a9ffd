"""``blueprints.run``: a step that is another blueprint's run.

The engine carries it out itself: the run is started in the transaction that
begins the step, so it is started once, and the step waits for it without a
thread. The new run names the step that started it (``parent_step_id``).
"""

from typing import Any, Final

from xyn_reconciler.model.capability import ActionSpec

NAME: Final = "blueprints.run"

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["blueprint"],
    "properties": {
        "blueprint": {"type": "string", "minLength": 1, "description": "The blueprint's id."},
        "inputs": {"type": "object", "description": "Its inputs, by name."},
        "wait": {
            "type": "boolean",
            "default": True,
            "description": "Whether the step lasts until the run has ended.",
        },
    },
}
_OUTPUTS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["run_id"],
    "properties": {
        "run_id": {"type": "string"},
        "status": {"type": "string", "description": "How it ended, where the step waited."},
        "outputs": {"description": "The run's outputs, where the step waited."},
    },
}

SPEC: Final = ActionSpec(
    NAME,
    "Run another blueprint, and wait for its end or not.",
    _SCHEMA,
    _OUTPUTS,
    idempotent=True,  # Started in the step's own transaction: there is nothing to repeat.
)
