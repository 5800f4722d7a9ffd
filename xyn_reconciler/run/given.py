"""What a step's action is given: its templates rendered, once.

Pure. The trap it closes: an input that a shell will read (``cmd`` of
``ssh.run``) has what is interpolated into it quoted for that shell.
"""

import shlex
from collections.abc import Collection, Mapping
from typing import Any

from xyn_reconciler.desired.expression import parse_template, render_value
from xyn_reconciler.model.run import PlannedStep


def given(
    planned: PlannedStep, shell_inputs: Collection[str], roots: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the inputs of one attempt; raises ``ExpressionError``."""
    if planned.kind == "agent_task":
        return _question(planned, roots)
    plain = {name: value for name, value in planned.with_.items() if name not in shell_inputs}
    quoted = {name: value for name, value in planned.with_.items() if name in shell_inputs}
    return {
        **_rendered(plain, roots),
        **(_rendered(quoted, roots, escape=shlex.quote) if quoted else {}),
    }


def _rendered(value: dict[str, Any], roots: Mapping[str, Any], **options: Any) -> dict[str, Any]:  # noqa: ANN401 - escape
    rendered = render_value(value, roots, **options)
    assert isinstance(rendered, dict)  # noqa: S101 - rendering keeps the shape
    return rendered


def _question(planned: PlannedStep, roots: Mapping[str, Any]) -> dict[str, Any]:
    template = parse_template(planned.prompt or "", prompt=planned.prompt_file is not None)
    asked: dict[str, Any] = {
        "provider": planned.provider,
        "model": planned.model,
        # With an escape the result is text always, also of one expression alone.
        "prompt": template.render(roots, escape=str),
        "output_schema": planned.output_schema,
        "budget": planned.budget or None,
    }
    return {name: value for name, value in asked.items() if value is not None}
