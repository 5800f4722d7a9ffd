"""Read an example of a pack's action: its document, and what is wrong with it, by line."""

from typing import Any

from pydantic import ValidationError

from xyn_reconciler.desired.complaints import Report, complain
from xyn_reconciler.desired.source import parse
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.pack_example import PackExample


def read_example(path: str, text: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Give the document as it is written, or None and why it is no example; never raises."""
    source, problems = parse(path, text)
    if source is None or problems:
        return None, problems
    report = Report(source)
    try:
        example = PackExample.model_validate(source.value)
    except ValidationError as error:
        complain(report, PackExample, error.errors(include_url=False))
        return None, [*report.all_problems()]
    # Only what is written: a body of null is another thing than no body.
    return example.model_dump(by_alias=True, exclude_unset=True), []
