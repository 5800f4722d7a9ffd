"""Bring what steps say while they run to the database, a few times a second.

One thread a worker, asleep while nobody says anything. It redacts, keeps the
last part of each attempt's text and writes those that grew, together. A text
goes when its run is let go: the log is an artifact then, or another worker's.

The trap: a step may say more than anybody can read or redact. What is too much
for one look is left out before it is redacted, so the beginning of what comes
after such a gap, where half a secret may stand, is left out as well.
"""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.store import live_log
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.json_text import storable

logger = logging.getLogger(__name__)

KEEP: Final = 65_536
"""Characters of one attempt that can be seen: the last ones."""
LOOK_SECONDS: Final = 0.25
_AT_ONCE: Final = 2 * KEEP
"""Characters of one attempt that one look takes in."""
_BEHIND_A_GAP: Final = 16_384
"""Characters behind a gap that are not shown: no secret is longer."""
_GAP: Final = "\n[...]\n"
_AWAY_SECONDS: Final = 1.0


class Stream(Protocol):
    """Redacts a text that comes in pieces; ``model.redaction.RedactingStream`` is one."""

    def feed(self, piece: str, /) -> str: ...

    def end(self) -> str: ...


class Redacts(Protocol):
    """Gives such a stream; ``model.redaction.Redactor`` does."""

    def stream(self) -> Stream: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """The attempt that says something."""

    attempt_id: uuid.UUID
    run_id: uuid.UUID
    run_attempt: int
    step_id: uuid.UUID
    item_index: int | None
    number: int


class Voice:
    """What one attempt says. :meth:`say` and :meth:`end` are its own thread's."""

    def __init__(self, speaker: Speaker, logs: "LiveLogs") -> None:
        self.speaker = speaker
        self.ended = False
        self.shown = False
        """Whether there is a row of it, or will be."""
        self.dropped = False
        """Whether its run was let go."""
        self._logs = logs
        self._said: deque[str] = deque()
        self._length = 0
        self._lock = threading.Lock()
        self._gap = False
        self._stream = logs.redactor.stream()
        self._start = 0
        self._text = ""

    def say(self, text: str) -> None:
        """Show a text to whoever watches, soon."""
        if not text or self.dropped:
            return
        with self._lock:
            self._said.append(text[-_AT_ONCE:])
            self._length += len(self._said[-1])
            while self._length > _AT_ONCE and len(self._said) > 1:
                self._length -= len(self._said.popleft())
                self._gap = True
            self._gap = self._gap or len(text) > _AT_ONCE
        self._logs.hear(self)

    def end(self) -> None:
        """Say nothing any more; what nobody could see in the short time is not shown now."""
        self.ended = True
        if self.shown or self._said:
            self._logs.hear(self)

    def taken_in(self) -> bool:
        """Take in what was said since; whether there is more to see."""
        with self._lock:
            said, gap = "".join(self._said), self._gap
            self._said.clear()
            self._length, self._gap = 0, False
        if gap:
            self._stream.end()
            shown = _GAP + self._stream.feed(said)[_BEHIND_A_GAP:]
        else:
            shown = self._stream.feed(said)
        if self.ended:
            shown += self._stream.end()
        if not shown:
            return False
        whole = self._text + storable(shown)
        self._text = whole[-KEEP:]
        self._start += len(whole) - len(self._text)
        return True

    def row(self) -> live_log.LiveText:
        own = self.speaker
        return live_log.LiveText(
            attempt_id=own.attempt_id,
            run_id=own.run_id,
            run_attempt=own.run_attempt,
            step_id=own.step_id,
            item_index=own.item_index,
            number=own.number,
            start=self._start,
            text=self._text,
        )


@dataclass(slots=True)
class LiveLogs:
    """What all attempts of one worker say; safe from any thread."""

    database: Database
    redactor: Redacts
    _voices: dict[uuid.UUID, list[Voice]] = field(default_factory=dict)
    """By run, as long as it is held."""
    _heard: dict[uuid.UUID, Voice] = field(default_factory=dict)
    """By attempt: those that said something since the last look."""
    _unwritten: dict[uuid.UUID, Voice] = field(default_factory=dict)
    """Those whose rows are to be written; the writer's own."""
    _gone: set[uuid.UUID] = field(default_factory=set)
    """Attempts whose rows are to go."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def voice(self, speaker: Speaker) -> Voice:
        """Let an attempt speak until its run is let go."""
        voice = Voice(speaker, self)
        with self._changed:
            self._voices.setdefault(speaker.run_id, []).append(voice)
        return voice

    def hear(self, voice: Voice) -> None:
        """Look at a voice soon."""
        attempt_id = voice.speaker.attempt_id
        if attempt_id in self._heard:
            return
        with self._changed:
            self._heard[attempt_id] = voice
            self._wake()

    def let_go(self, run_id: uuid.UUID) -> None:
        """Remove what a run's steps said: its log is kept, or the run is another worker's."""
        with self._changed:
            for voice in self._voices.pop(run_id, ()):
                voice.dropped = True
                if voice.shown:
                    self._gone.add(voice.speaker.attempt_id)
            if self._gone:
                self._wake()

    def close(self) -> None:
        """End the thread; rows that cannot be removed now are another worker's to sweep."""
        with self._changed:
            self._closed.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="live logs", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _serve(self) -> None:
        closed = False
        while not closed:
            with self._changed:
                while not (self._heard or self._gone or self._closed.is_set()):
                    self._changed.wait()
            # What is said together is written together, and what ends at once never is.
            closed = self._closed.wait(LOOK_SECONDS)
            try:
                self._look()
            except UnavailableError as error:
                logger.warning("live logs cannot be written: %s", error)
                self._closed.wait(_AWAY_SECONDS)

    def _look(self) -> None:
        with self._changed:
            heard, self._heard = self._heard, {}
        for attempt_id, voice in heard.items():
            if (voice.shown or not voice.ended) and voice.taken_in():
                self._unwritten[attempt_id] = voice
        with self._changed:
            due = [voice for voice in self._unwritten.values() if not voice.dropped]
            for voice in due:
                voice.shown = True
            gone = set(self._gone)
        if due or gone:
            self._write([voice.row() for voice in due], gone)
        self._unwritten.clear()
        with self._changed:
            self._gone -= gone

    def _write(self, rows: list[live_log.LiveText], gone: Collection[uuid.UUID]) -> None:
        with self.database.begin() as connection:
            if rows:
                live_log.keep(connection, rows)
            if gone:
                live_log.drop(connection, gone)
