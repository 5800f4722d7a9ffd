"""What a step's action is given: its templates rendered, once.

Pure. Two traps it closes: an input that a shell will read (``cmd`` of
``ssh.run``) has what is interpolated into it quoted for that shell; and
whatever is interpolated into a prompt stands between marks that it cannot
close, so that a model can tell data from what the author asks.
"""

import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from xyn_reconciler.desired.expression import Template, parse_template, render_value
from xyn_reconciler.model.run import PlannedStep, digest

_MARK_DIGITS: Final = 32
"""128 bits: nobody finds data that holds its own mark."""


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


def render_prompt(template: Template, roots: Mapping[str, Any]) -> tuple[str, str | None]:
    """Give the text that a model is asked, and the name of the marks around data in it.

    ``(text, None)`` where nothing is interpolated. The name is a hash of the data
    between the marks: no data can hold the hash of itself, so none can close them, and
    the same data gives the same text, which a digest of the question relies on.
    Raises ``ExpressionError``.
    """
    data: list[str] = []

    def collect(text: str) -> str:
        data.append(text)
        return text

    plain = str(template.render(roots, escape=collect))
    if not data:
        return plain, None
    mark = f"data-{digest([template.text, data])[:_MARK_DIGITS]}"
    marked = template.render(roots, escape=lambda text: f"<{mark}>{text}</{mark}>")
    return str(marked), mark


def _question(planned: PlannedStep, roots: Mapping[str, Any]) -> dict[str, Any]:
    text, mark = render_prompt(prompt(planned), roots)
    asked: dict[str, Any] = {
        "provider": planned.provider,
        "model": planned.model,
        "prompt": text,
        "data_mark": mark,
        "output_schema": planned.output_schema,
        "budget": planned.budget or None,
    }
    return {name: value for name, value in asked.items() if value is not None}
