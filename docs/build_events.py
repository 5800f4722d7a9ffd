"""Write ``reference/events.md`` from the list of events: ``python docs/build_events.py``.

A test holds the page and the list together.
"""

# ruff: noqa: INP001 - a script, not a package

import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference" / "events.md"
sys.path.insert(0, str(Path(__file__).parent.parent))

from xyn_reconciler.model.internal_events import (  # noqa: E402 - on the path only now
    INTERNAL_EVENTS,
    RECORDED_WITH_THEIR_RUN,
    EventData,
)

HEAD = """\
# Events that Xyn emits

<!-- Made by docs/build_events.py of model/internal_events.py; changes here are lost. -->

A blueprint may wait for any of these, as for events from outside:

```yaml
triggers:
  - event_type: xyn.run.failed
    match: {data.blueprint_id: bp.nightly-*}
```

Names that begin with `xyn.` are the platform's own: a sender outside who uses one is answered
422 with the code `reserved_name`.

**Envelope**: `event_id`, `event_name`, `occurred_at`, `env_id`, `actor`, `correlation_id`,
`run_id`, `step_id`, `resource` and `data`. The tables below say what
`resource.type` is and what stands in `data`.
`xyn.event.received` is emitted for events from outside only.

**What ends loops**: an event that 20 runs or more lie behind starts nothing; an event of a run
never starts that run's own blueprint; and events of a run that was itself started by a `xyn.` event
start nothing.

**Where they are recorded**: @RECORDED@ of a run stand inside that run's record in Git; all others
have a record line of their own.
"""


def page() -> str:
    """Give the whole page."""
    recorded = ", ".join(f"`{prefix}*`" for prefix in RECORDED_WITH_THEIR_RUN)
    sections = [_section(name, kind) for name, kind in sorted(INTERNAL_EVENTS.items())]
    return "\n".join([HEAD.replace("@RECORDED@", recorded), *sections])


def _section(name: str, kind: type[EventData]) -> str:
    lines = [
        f"## {name}",
        "",
        (kind.__doc__ or "").strip(),
        "",
        f"`resource.type`: `{kind.resource_type}`",
        "",
    ]
    fields: dict[str, Any] = kind.model_json_schema().get("properties", {})
    if fields:
        lines += ["| `data` | type |", "|---|---|"]
        lines += [f"| `{field}` | {_type(schema)} |" for field, schema in fields.items()]
        lines.append("")
    return "\n".join(lines)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema["type"])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
