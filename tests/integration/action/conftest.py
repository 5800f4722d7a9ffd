"""What the actions of these tests are given of a node."""

import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest

from tests.attempts import an_attempt
from tests.sshd import Sshd, sshd
from xyn_reconciler.action.context import ActionContext


@dataclass
class Kept:
    """The artifacts of a test, by id."""

    contents: dict[str, bytes] = field(default_factory=dict)
    about: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Name, kind and content type."""

    def __call__(
        self,
        *,
        name: str,
        kind: str,
        content_type: str,
        content: bytes | BinaryIO,
        retention: str | None = None,  # noqa: ARG002 - as KeepArtifact has it
    ) -> uuid.UUID:
        found = uuid.uuid4()
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        self.contents[str(found)] = stream.read()
        self.about[str(found)] = (name, kind, content_type)
        return found


@pytest.fixture
def attempt() -> ActionContext:
    return an_attempt()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as found:
        yield found
