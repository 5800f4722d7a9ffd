"""Artifacts: bytes by sha256, with the metadata of seed 45.5."""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a run, a step or a person left; ``byte_length`` in bytes.

    ``sha256`` in hex, ``None`` before the upload. ``retention`` names the class
    that says how long the bytes stay (``retention`` in ``node.yaml``); else the
    kind is the class. From ``deleted_at`` on they are no longer kept.
    """

    artifact_id: uuid.UUID
    name: str
    kind: str
    content_type: str
    created_at: dt.datetime
    created_by: str
    byte_length: int | None = None
    sha256: str | None = None
    run_id: uuid.UUID | None = None
    step_id: uuid.UUID | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    retention: str | None = None
    deleted_at: dt.datetime | None = None
