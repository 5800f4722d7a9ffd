"""The desired state that is measured: files by path.

``bench.step`` is an action of a pack, so the node knows it; the worker that
the benchmark starts has it. A step's own work is that of the floor's steps.
"""

from typing import Final

from bench.floor_engine import STEPS

ACTION: Final = "bench.step"
EVENT: Final = "bench.three"
"""Starts a run of three durable steps."""
IGNORED_EVENT: Final = "bench.ignored"
"""Starts nothing."""
TRANSFORM_EVENT: Final = "bench.transform"

PACK: Final = f"""\
id: bench
name: Benchmark
version: 1.0.0
actions:
  {ACTION}: {{summary: Compute a little and say when, idempotent: true}}
"""

_INPUTS: Final = """\
inputs:
  run: {type: string, from: "{{ event.data.run }}"}
plan:
"""

THREE_STEPS: Final = (
    f"id: bp.bench.three\nname: Three durable steps\ntriggers:\n  - event_type: {EVENT}\n{_INPUTS}"
    + "".join(
        f"  - id: step_{index}\n    kind: action_task\n    action: {ACTION}\n"
        f'    with: {{run: "{{{{ inputs.run }}}}", index: {index}, count: {STEPS}}}\n'
        for index in range(STEPS)
    )
)

THREE_TRANSFORMS: Final = (
    "id: bp.bench.transform\nname: Three transforms\ntriggers:\n"
    f"  - event_type: {TRANSFORM_EVENT}\n{_INPUTS}"
    + "".join(
        f"  - id: step_{index}\n    kind: transform\n"
        f'    set: {{run: "{{{{ inputs.run }}}}", index: {index}, padding: "{"x" * 80}"}}\n'
        for index in range(STEPS)
    )
)

NODE: Final = """\
id: seed
env_id: local
mode: active
stage: dev
"""

FILES: Final = {
    "packs/bench/pack.yaml": PACK.encode(),
    "blueprints/bench/three.yaml": THREE_STEPS.encode(),
    "blueprints/bench/transform.yaml": THREE_TRANSFORMS.encode(),
}


def blueprint(number: int, edition: int) -> bytes:
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
    set: {{text: "clean {{{{ inputs.host }}}}", edition: {edition}}}
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
