"""A test of a blueprint (``tests/*.yaml``).

An event, what steps give, and what is to come of it.
"""

from typing import ClassVar, Literal

from pydantic import Field

from xyn_reconciler.model.document import DocumentId, Id, Json, Maybe, Part


class Expected(Part):
    """What the run has to be in the end; an absent key asks nothing."""

    noun: ClassVar[str] = "expect"

    status: Maybe[Literal["completed", "failed", "waiting", "cancelled"]] = None
    """Of the run."""
    inputs: Maybe[dict[Id, Json]] = None
    """Name -> value."""
    steps: Maybe[dict[Id, Json]] = None
    """Step -> its status."""
    outputs: Maybe[dict[str, Json]] = None
    """Name -> value."""


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
    """Step -> its outputs, where it is not to be carried out."""
    expect: Expected
