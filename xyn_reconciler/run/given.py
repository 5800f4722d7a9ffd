"""What a step's action is given: its templates rendered, once.

Pure. The trap it closes: an input that a shell will read (``cmd`` of
``ssh.run``) has what is interpolated into it quoted for that shell.
"""

import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any

from xyn_reconciler.desired.expression import Template, parse_template, render_value
from xyn_reconciler.model.run import PlannedStep


def given(
    planned: PlannedStep, shell_inputs: Collection[str], roots: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the inputs of one attempt; raises ``ExpressionError``."""
    if planned.kind == "agent_task":
        return _question(planned, roots)
    return {
        name: render_value(value, roots, escape=escape(name, shell_inputs))
        for name, value in planned.with_.items()
    }


def escape(name: str, shell_inputs: Collection[str]) -> Callable[[str], str] | None:
    """How text is made harmless that goes into an input of this name, where it has to be."""
    return shlex.quote if name in shell_inputs else None


def prompt(planned: PlannedStep) -> Template:
    """Read what a model is asked; raises ``ExpressionError``."""
    return parse_template(planned.prompt or "", prompt=planned.prompt_file is not None)


def render_prompt(template: Template, roots: Mapping[str, Any]) -> str:
    """Give the text that a model is asked; raises ``ExpressionError``."""
    # With an escape the result is text always, also of one expression alone.
    return str(template.render(roots, escape=str))


def _question(planned: PlannedStep, roots: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "provider": planned.provider,
        "model": planned.model,
        "prompt": render_prompt(prompt(planned), roots),
        "output_schema": planned.output_schema,
        "budget": planned.budget or None,
    }
    return {name: value for name, value in asked.items() if value is not None}
