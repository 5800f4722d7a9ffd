"""A test of a blueprint (``tests/*.yaml``).

An event, what steps give, and what is to come of it.
"""

from typing import ClassVar, Literal

from pydantic import Field

from xyn_reconciler.model.document import DocumentId, Id, Json, Maybe, Part


class Expected(Part):
    """What the run has to be in the end; an absent key asks nothing."""

    noun: ClassVar[str] = "expect"

    status: Maybe[Literal["completed", "failed", "waiting", "cancelled", "not_started"]] = None
    """Of the run; ``not_started`` where the event is not to start it."""
    inputs: Maybe[dict[Id, Json]] = None
    """Name -> value."""
    steps: Maybe[dict[Id, Json]] = None
    """Step -> its status, or ``{status, inputs, outputs}`` of which only what is named is asked."""
    outputs: Maybe[dict[str, Json]] = None
    """Name -> value."""
    error: Maybe[str] = None
    """The code that it fails with."""


class TestFile(Part):
    """One example of what a blueprint does."""

    __test__ = False  # its name looks like a test to pytest
    noun: ClassVar[str] = "a test"

    name: Maybe[str] = None
    """What it shows, as a sentence."""
    blueprint: DocumentId
    """The blueprint's id."""
    event: Maybe[dict[str, Json]] = None
    """The event that starts it: event_name, data, ..."""
    inputs: Maybe[dict[Id, Json]] = None
    """Inputs of a manual start, instead of an event."""
    steps: dict[Id, Json] = Field(default_factory=dict)
    """Step -> its outputs: no test carries out anything but transforms. Of a gate: its decision."""
    failures: dict[Id, Json] = Field(default_factory=dict)
    """Step -> the error that it fails with: ``{code, message}``."""
    expect: Expected
