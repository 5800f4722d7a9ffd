"""``artifacts.put`` and ``artifacts.get``: what goes in comes out, or the step says why not."""

import dataclasses
import datetime as dt
import hashlib
import io
import uuid
from typing import Any, BinaryIO

import pytest

from tests.integration.action.conftest import Kept
from xyn_reconciler.action.artifacts_get import MOST_BYTES, ArtifactsGet
from xyn_reconciler.action.artifacts_put import ArtifactsPut
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import NotFoundError, PermanentError
from xyn_reconciler.model.ids import new_id


class Room:
    """Artifacts that were put, to be got again."""

    def __init__(self, attempt: ActionContext) -> None:
        self.kept = Kept()
        self.digests: dict[str, str] = {}
        self.context = dataclasses.replace(
            attempt, artifact=self.kept, open_artifact=self.open_artifact
        )

    def open_artifact(self, artifact_id: uuid.UUID) -> tuple[Artifact, BinaryIO]:
        content = self.kept.contents.get(str(artifact_id))
        if content is None:
            raise NotFoundError(f"there is no artifact {artifact_id}")
        name, kind, content_type = self.kept.about[str(artifact_id)]
        digest = self.digests.get(str(artifact_id), hashlib.sha256(content).hexdigest())
        artifact = Artifact(
            artifact_id=artifact_id,
            name=name,
            kind=kind,
            content_type=content_type,
            created_at=dt.datetime.now(dt.UTC),
            created_by="system",
            sha256=digest,
        )
        return artifact, io.BytesIO(content)

    def put(self, **inputs: Any) -> str:  # noqa: ANN401 - inputs
        found: str = ArtifactsPut().run({"name": "it", **inputs}, self.context)["artifact_id"]
        return found

    def get(self, artifact_id: str | None = None, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
        given = inputs if artifact_id is None else {"artifact_id": artifact_id, **inputs}

        def find(*, artifact_id: uuid.UUID | None, **_: object) -> uuid.UUID:
            return artifact_id or uuid.UUID(next(iter(self.kept.contents)))

        return ArtifactsGet(find).run(given, self.context)


@pytest.fixture
def room(attempt: ActionContext) -> Room:
    return Room(attempt)


@pytest.mark.parametrize(
    ("form", "value", "content_type"),
    [
        ("text", "grüß\n", "text/plain; charset=utf-8"),
        ("json", {"b": [1, None], "a": "ü"}, "application/json"),
        ("base64", "AP8=", "application/octet-stream"),
    ],
)
def test_what_is_put_is_got_again_in_its_form(
    room: Room,
    form: str,
    value: Any,  # noqa: ANN401 - any JSON
    content_type: str,
) -> None:
    artifact_id = room.put(**{form: value})

    outputs = room.get(artifact_id, **{"as": form})

    assert outputs[form] == value
    assert outputs["content_type"] == content_type
    assert outputs["byte_length"] == len(room.kept.contents[artifact_id])
    assert room.get(step="a", name="it", **{"as": form})["artifact_id"] == artifact_id


@pytest.mark.parametrize("text", ["AP8", "no base64"])
def test_sound_base64_is_asked_for(room: Room, text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        room.put(base64=text)

    assert caught.value.failure_code == "invalid_inputs"
    assert room.kept.contents == {}


def test_what_cannot_be_given_says_why(room: Room) -> None:
    binary, words = room.put(base64="AP8="), room.put(text="NaN")
    large = room.put(text="x" * (MOST_BYTES + 1))
    changed = room.put(text="as it was")
    room.digests[changed] = hashlib.sha256(b"something else").hexdigest()

    def code(*artifact: str, **inputs: str) -> str:
        with pytest.raises(PermanentError) as caught:
            room.get(*artifact, **inputs)
        return caught.value.failure_code

    assert code(binary) == "not_text"
    assert code(words, **{"as": "json"}) == "not_json"
    assert code(large) == "too_large"
    assert code(changed) == "artifact_damaged"
    assert code(str(new_id())) == "artifact_not_found"
    assert code("../../etc/passwd") == "artifact_not_found"
    assert code() == "invalid_inputs"
    assert code(binary, step="a", name="it") == "invalid_inputs"
