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
    capabilities=frozenset({"database"}),
    errors={
        "denied": "the rules do not let whoever caused this run start that one",
        "not_found": "no blueprint of that id is active here",
        "sub_run_failed": "the run that was waited for ended otherwise than completed; details has"
        " its run_id, status and error",
        "too_deep": "too many runs lie behind this one: it starts itself, it seems",
    },
)
