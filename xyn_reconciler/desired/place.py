"""Where something stands in a document. By itself: a worker needs no more of the readers."""

Place = tuple[str | int, ...]
"""A location in the normalised document."""
