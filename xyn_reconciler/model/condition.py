"""Conditions: what is true of the node or of one document right now, with the reason."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

ConditionType = Literal[
    "Ready",
    "Reconciling",
    "Stalled",
    "NotRunnable",
    "RecordsBehind",
    "RecordsSetAside",
    "RepositoryDamaged",
    "EventsSetAside",
    "Following",
    "Mirrored",
    "SecretsReadable",
    "SecretCaught",
    "AppsRunning",
]


@dataclass(frozen=True, slots=True)
class Condition:
    """``status`` true or false since ``since``.

    ``reason`` is one CamelCase word, ``message`` a sentence.
    """

    type: ConditionType
    status: bool
    reason: str
    message: str
    since: dt.datetime
