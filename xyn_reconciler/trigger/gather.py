"""Let requests that come at the same time share one transaction.

A commit is the dearest part of taking an event in, and costs the same for one
event as for twenty. Whoever finds nobody at work leads: takes what waits by
then, commits it, answers it, and hands the lead to the first who came meanwhile.
Nobody waits for company: alone, an event goes in at once.

A request is answered after the commit that holds it, or with the error that is
its own. The trap: what fails a shared transaction may be one of many, so then
each is done again by itself.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError, XynError
from xyn_reconciler.store.database import Database

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST: Final = 500
"""Items of one shared transaction; a single request may bring more."""


class _Request(Generic[Item, Answer]):
    """Somebody's items, and what became of them: an answer, an error, or nothing yet."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.answer: list[Answer] = []
        self.error: Exception | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()

    @property
    def is_done(self) -> bool:
        return bool(self.answer) or self.error is not None

    def sleep(self) -> None:
        self._asleep.acquire()

    def wake(self) -> None:
        self._asleep.release()


class Gathering(Generic[Item, Answer]):
    """One for each kind of work in a process; safe from any thread.

    ``work`` does what several requests ask for in one transaction, commits it,
    and gives the answer of each, or the error that is its alone.
    """

    def __init__(
        self, work: Callable[[Database, Sequence[Sequence[Item]]], list[Answer | XynError]]
    ) -> None:
        self._work = work
        self._waiting: deque[_Request[Item, Answer]] = deque()
        self._is_led = False
        self._lock = threading.Lock()

    def do(self, database: Database, items: Sequence[Item]) -> Answer:
        """Give the answer when it is committed, or raise the error."""
        request = _Request[Item, Answer](items)
        with self._lock:
            self._waiting.append(request)
            leads, self._is_led = not self._is_led, True
        if not leads:
            request.sleep()
        if not request.is_done:
            self._lead(database)
        if request.error is not None:
            raise request.error
        return request.answer[0]

    def _lead(self, database: Database) -> None:
        """Do what waits; the first of it is the leader's own."""
        with self._lock:
            requests = [self._waiting.popleft()]
            size = len(requests[0].items)
            while self._waiting and size + len(self._waiting[0].items) <= MOST:
                requests.append(self._waiting.popleft())
                size += len(requests[-1].items)
        try:
            self._commit(database, requests)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_led = following is not None
            if following is not None:
                following.wake()
            for request in requests[1:]:
                if not request.is_done:  # the leader's thread was ended
                    request.error = UnavailableError("the node stopped while it took this in")
                request.wake()

    def _commit(self, database: Database, requests: Sequence[_Request[Item, Answer]]) -> None:
        try:
            answers = self._work(database, [request.items for request in requests])
        except UnavailableError as error:
            for request in requests:
                request.error = UnavailableError(error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to one of them
            if len(requests) == 1:
                requests[0].error = error
                return
            for request in requests:
                self._commit(database, [request])
        else:
            crash_point("intake.committed")
            for request, answer in zip(requests, answers, strict=True):
                if isinstance(answer, XynError):
                    request.error = answer
                else:
                    request.answer.append(answer)
