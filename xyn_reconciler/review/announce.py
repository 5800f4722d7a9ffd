"""What a pusher is told of the review that a draft got: where it is, and what checks found."""

import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from xyn_reconciler.review.checks import SLOW
from xyn_reconciler.store import reviews
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.reviews import Check, Review

WAIT_SECONDS: Final = 5.0
"""How long a push waits for its review and for the checks that are quick."""

_POLL_SECONDS: Final = 0.05


def announce(database: Database, url: str, name: str, head: str) -> Iterator[str]:
    """Give the lines; ``url`` is the node's own. The node may be one that looks a little later."""
    until = time.monotonic() + WAIT_SECONDS
    review, checks = _look(database, name, head)
    while time.monotonic() < until and (review is None or _wait_for(checks)):
        time.sleep(_POLL_SECONDS)
        review, checks = _look(database, name, head)
    named = name if review is None or "/" not in name else str(review.draft_id)
    yield f"review: {url}/ui/reviews/{quote(named, safe='')}"
    for check in checks:
        if check.status == "failed":
            yield f"check {check.name} failed: {check.summary}"
    late = [check.name for check in checks if check.status == "running"]
    if late:
        yield f"still running: {', '.join(late)}"


def _look(database: Database, name: str, head: str) -> tuple[Review | None, list[Check]]:
    with database.read() as connection:
        review = reviews.find_review(connection, name)
        if review is None or review.head != head:
            return None, []
        return review, reviews.checks(connection, review.draft_id, review.iteration)


def _wait_for(checks: list[Check]) -> bool:
    return any(each.status == "running" and each.name not in SLOW for each in checks)
