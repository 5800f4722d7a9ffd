"""Prompt files: text with ``{{ }}``, ``{% if %}`` and ``{% for %}``.

A prompt is checked by itself for what no blueprint could make right, and for each
step that names it (:func:`check_prompt`), where inputs and steps are known.
"""

from collections.abc import Collection, Iterator
from typing import Final

from xyn_reconciler.desired.expression import (
    EVENT_FIELDS,
    NODE_FIELDS,
    RUN_FIELDS,
    Finding,
    Known,
    findings,
)
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.source import MAX_BYTES
from xyn_reconciler.desired.text_file import position, read_text, tokens_in
from xyn_reconciler.model.errors import Problem


class _Anything(Collection[str]):
    """Every name there could be."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_SOMEWHERE: Final = Known(
    {
        "event": EVENT_FIELDS,
        "inputs": None,
        "vars": None,
        "steps": None,
        "run": (*RUN_FIELDS, "error"),
        "node": NODE_FIELDS,
        "item": None,
        "item_index": (),
    },
    steps=_Anything(),
)
"""What a prompt may name in one blueprint or another."""


def load_prompt(path: str, blob_id: str, data: bytes) -> Loaded:
    """Read a prompt; its document is ``{"text": ...}``."""
    text, problems = read_text(path, data, MAX_BYTES)
    if text is None:
        return Loaded(path, blob_id, "prompt", path, None, tuple(problems))
    problems = [
        Problem(path, *position(text, finding.offset), finding.code, finding.message)
        for finding in check_prompt(text, _SOMEWHERE)
    ]
    problems += tokens_in(path, text)
    document = None if problems else {"text": text}
    return Loaded(path, blob_id, "prompt", path, document, tuple(sorted(problems)))


def check_prompt(text: str, known: Known) -> list[Finding]:
    """Give what is wrong with a prompt where ``known`` can be named."""
    return findings(text, known, "prompt")
