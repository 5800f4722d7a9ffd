"""``events.emit``: an event that other blueprints may wait for, in the name of who caused the run.

It is taken in as one from outside is, so it starts runs, has its record and may be seen.
It carries the run's correlation id, and one more run lies behind what it starts: a circle of
events and runs ends. An attempt that comes again emits nothing new.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec, EmitEvent

SPEC: Final = ActionSpec(
    "events.emit",
    "Emit an event.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["event_name"],
        "properties": {
            "event_name": {
                "type": "string",
                "maxLength": 200,
                "pattern": r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$",
                "description": "Such as shop.order.paid; names with xyn. are the node's own.",
            },
            "data": {"type": "object", "description": "Any JSON."},
            "resource": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "id"],
                "properties": {
                    "type": {"type": "string", "minLength": 1},
                    "id": {"type": "string", "minLength": 1},
                },
                "description": "What it is about.",
            },
        },
    },
    {
        "type": "object",
        "required": ["event_id"],
        "properties": {"event_id": {"type": "string"}},
    },
    idempotent=True,  # The node knows the step's event again.
    capabilities=frozenset({"events"}),
    errors={"reserved_name": "the name begins with xyn.: only the node itself emits those"},
)


class EventsEmit:
    """Emits through ``emit``, which ``node`` binds."""

    spec = SPEC

    def __init__(self, emit: EmitEvent) -> None:
        self._emit = emit

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        event_id = self._emit(
            event_name=inputs["event_name"],
            data=inputs.get("data", {}),
            resource=inputs.get("resource"),
            run_id=context.run_id,
            step_id=context.step_id,
            item=context.item,
            correlation_id=context.correlation_id,
        )
        context.log(f"event {inputs['event_name']}: {event_id}")
        return {"event_id": str(event_id)}
