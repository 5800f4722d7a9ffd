"""The desired state that is measured: files by path.

``bench.step`` and ``bench.hold`` are actions of a pack, so the node knows them;
the worker that the benchmark starts has them. A step's own work is that of the
floor's steps.
"""

from typing import Final

from bench.step import STEPS

ACTION: Final = "bench.step"
HOLD: Final = "bench.hold"
EVENT: Final = "bench.three"
"""Starts a run of three durable steps."""
LONG_EVENT: Final = "bench.forty"
LONG_STEPS: Final = 40
TRANSFORM_EVENT: Final = "bench.transform"
HOLD_EVENT: Final = "bench.held"
GATE_EVENT: Final = "bench.gated"
"""Starts a run that waits for a person."""
IGNORED_EVENT: Final = "bench.ignored"
"""Starts nothing."""

TRANSFORM_BLUEPRINT: Final = "bp.bench.transform"
GATE_BLUEPRINT: Final = "bp.bench.gated"

PACK: Final = f"""\
id: bench
name: Benchmark
version: 1.0.0
actions:
  {ACTION}: {{summary: Compute a little and say when, idempotent: true}}
  {HOLD}: {{summary: Wait to be taken over, idempotent: true}}
"""


def _blueprint(name: str, event: str, plan: str) -> str:
    return (
        f"id: {name}\nname: {name}\ntriggers:\n  - event_type: {event}\ninputs:\n"
        f'  run: {{type: string, from: "{{{{ event.data.run }}}}"}}\nplan:\n{plan}'
    )


def _durable(count: int) -> str:
    return "".join(
        f"  - id: step_{index}\n    kind: action_task\n    action: {ACTION}\n"
        f'    with: {{run: "{{{{ inputs.run }}}}", index: {index}, count: {count}}}\n'
        for index in range(count)
    )


THREE_TRANSFORMS: Final = _blueprint(
    TRANSFORM_BLUEPRINT,
    TRANSFORM_EVENT,
    "".join(
        f"  - id: step_{index}\n    kind: transform\n"
        f'    set: {{run: "{{{{ inputs.run }}}}", index: {index}, padding: "{"x" * 80}"}}\n'
        for index in range(STEPS)
    ),
)

_HELD: Final = f"""\
  - id: hold
    kind: action_task
    action: {HOLD}
    with: {{run: "{{{{ inputs.run }}}}"}}
"""
_GATED: Final = """\
  - id: ask
    kind: gate
    mode: manual
    timeout: 30d
"""

NODE: Final = """\
id: seed
env_id: local
mode: active
stage: dev
"""

FILES: Final = {
    "packs/bench/pack.yaml": PACK.encode(),
    **{
        f"blueprints/bench/{name.removeprefix('bp.bench.')}.yaml": _blueprint(
            name, event, plan
        ).encode()
        for name, event, plan in (
            ("bp.bench.three", EVENT, _durable(STEPS)),
            ("bp.bench.forty", LONG_EVENT, _durable(LONG_STEPS)),
            ("bp.bench.held", HOLD_EVENT, _HELD),
            (GATE_BLUEPRINT, GATE_EVENT, _GATED),
        )
    },
    "blueprints/bench/transform.yaml": THREE_TRANSFORMS.encode(),
}


def blueprint(number: int, edition: str) -> bytes:
    """Give one of many ordinary blueprints, in one of its editions."""
    return f"""\
id: bp.bench.many_{number:05d}
name: Disk {number} is full
description: Edition {edition}.
labels: {{team: noc, site: s{number % 40}}}
triggers:
  - event_type: disk.full
    match: {{data.host: "web-{number}", data.severity: [CRIT, WARN]}}
    when: "event.data.used > {number % 90}"
inputs:
  host: {{type: string, from: "{{{{ event.data.host }}}}"}}
timeout: 30m
plan:
  - id: shape
    kind: transform
    set: {{text: "clean {{{{ inputs.host }}}}", edition: "{edition}"}}
  - id: approve
    kind: gate
    mode: manual
    timeout: 4h
  - id: tell
    kind: action_task
    action: http.call
    retry: {{max_attempts: 3, delay: 2s, on: transient}}
    with: {{url: "https://hooks.example.net/{number}", method: POST, json: {{edition: {edition}}}}}
outputs: {{said: "{{{{ steps.shape.outputs.text }}}}"}}
""".encode()


def blueprint_path(number: int) -> str:
    """Spread blueprints a hundred to a folder, as the repository's layout asks."""
    return f"blueprints/many/{number // 100:03d}/{number:05d}.yaml"
