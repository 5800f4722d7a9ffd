"""One table of routes: Flask serves from it and the OpenAPI document is written from it.

A route says which query, body and answers it knows as pydantic models, and
those same models read the request: what is documented is what happens.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import flask
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.routing import BaseConverter

from flask_ui import answers, requests

PREFIX: Final = "/api/v1"
NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
"""Ids that people chose: of blueprints, of steps."""
DRAFT_PATTERN: Final = rf"{NAME_PATTERN}(?:/{NAME_PATTERN})*"
"""Names of branches, which may have a ``/``."""

PATH_PARAMETERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "event_id": ("uuid", {"type": "string", "format": "uuid"}),
    "run_id": ("uuid", {"type": "string", "format": "uuid"}),
    "artifact_id": ("uuid", {"type": "string", "format": "uuid"}),
    "sha256": ("sha256", {"type": "string", "pattern": "^[0-9a-f]{64}$"}),
    "grant_id": ("uuid", {"type": "string", "format": "uuid"}),
    "token_id": ("name", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "session_id": ("name", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "draft": ("draft", {"type": "string", "pattern": f"^{DRAFT_PATTERN}$"}),
    "step": ("name", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "action": ("name", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "pack_id": ("name", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
    "blueprint_id": ("name", {"type": "string", "pattern": f"^{NAME_PATTERN}$"}),
}
"""Parameter -> Flask's converter and its JSON Schema; whatever does not fit is 404."""

Method = Literal["GET", "POST", "PUT", "DELETE"]


class NameConverter(BaseConverter):
    regex = NAME_PATTERN


class DigestConverter(BaseConverter):
    regex = "[0-9a-f]{64}"


class DraftConverter(BaseConverter):
    """A draft's name or id. One whose name ends like an address below it is found by its id."""

    regex = DRAFT_PATTERN
    part_isolating = False


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    """Seed 45.8."""

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,400}$")


@dataclass(frozen=True, slots=True)
class Bytes:
    """An answer that is no JSON: any content type, as an attachment."""

    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row: ``path`` as OpenAPI writes it; ``errors`` are those beyond the common ones."""

    method: Method
    path: str
    summary: str
    tag: str
    answers: Mapping[int, Any]
    view: Callable[..., Any]
    query: type[BaseModel] | None = None
    body: Mapping[str, Any] | None = None
    """Content type -> model, or a JSON Schema."""
    body_required: bool = True
    errors: tuple[int, ...] = ()
    idempotent_by_key: bool = False

    @property
    def name(self) -> str:
        """The view's own, as OpenAPI's ``operationId`` and Flask's endpoint."""
        return str(getattr(self.view, "__name__"))  # noqa: B009 - a callable need not have one, ours do

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        rule = self.path
        for name in self.parameters:
            rule = rule.replace(f"{{{name}}}", f"<{PATH_PARAMETERS[name][0]}:{name}>")
        return rule


Answer = BaseModel | dict[str, Any] | flask.Response | tuple[BaseModel | dict[str, Any], int]


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": model}


def serve(operation: Operation) -> Callable[..., flask.Response]:
    """A view that reads the query, calls the operation's own view and writes its answer."""

    def view(**path: uuid.UUID | str) -> flask.Response:
        if operation.query is not None:
            answer = operation.view(requests.query(operation.query), **path)
        else:
            requests.query(Query)
            answer = operation.view(**path)
        if isinstance(answer, flask.Response):
            return answer
        if isinstance(answer, tuple):
            return answers.json_answer(*answer)
        return answers.json_answer(answer)

    return view
