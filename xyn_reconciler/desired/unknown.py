"""A value that nobody knows: what a step would give that was not carried out.

A replay puts :class:`Unknown` where an output would stand, and evaluates as always. It
is an object to the evaluator, and whatever looks into it, counts it or compares it fails
with :class:`UnknownValueError`: so a value that depends on it is unknown, and one that
only stands beside it (``a if known else b``, ``false and unknown``) is not.

The trap: it is not empty. Python's JSON writer passes over an empty dictionary without
asking it.
"""

from typing import Any, Final, NoReturn

from xyn_reconciler.desired.values import ExpressionError

UNKNOWN_VALUE: Final = "unknown_value"
"""The code that a step fails with whose expression needs such a value."""


class UnknownValueError(ExpressionError):
    """An expression needs what nobody knows."""

    def __init__(self, source: str) -> None:
        super().__init__(UNKNOWN_VALUE, f"depends on {source}, which is unknown")
        self.source = source


class Unknown(dict[str, Any]):
    """What is unknown; ``source`` says of what, as ``steps.ask``."""

    def __init__(self, source: str) -> None:
        super().__init__(unknown=source)
        self.source = source

    def _raise(self) -> NoReturn:
        raise UnknownValueError(self.source)

    def __getitem__(self, key: str) -> NoReturn:
        self._raise()

    def __contains__(self, key: object) -> NoReturn:
        self._raise()

    def __iter__(self) -> NoReturn:
        self._raise()

    def __len__(self) -> int:  # noqa: PLE0303 - it gives none
        self._raise()

    def __eq__(self, other: object) -> bool:
        self._raise()

    def __ne__(self, other: object) -> bool:
        self._raise()

    __hash__ = None

    def get(self, *_: object) -> NoReturn:
        self._raise()

    def keys(self) -> NoReturn:
        self._raise()

    def values(self) -> NoReturn:
        self._raise()

    def items(self) -> NoReturn:
        self._raise()
