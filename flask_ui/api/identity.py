"""Tokens and sessions over the API."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flask_ui import requests
from flask_ui.api.table import Answer, Operation, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import Page
from xyn_reconciler.model.units import parse_duration
from xyn_reconciler.service import identity
from xyn_reconciler.service.identity import NewTokenDto, SessionDto, TokenDto


class TokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    principal: str = Field(min_length=1, max_length=200)
    expires: str | None = Field(default=None, pattern=r"^[1-9][0-9]{0,8}[smhd]$")
    """For how long it holds: ``30d``; left out, until it is revoked."""

    @field_validator("expires")
    @classmethod
    def _is_a_duration(cls, text: str | None) -> str | None:
        if text is not None:
            parse_duration(text)
        return text


class Closed(BaseModel):
    session_id: str


def create_token() -> Answer:
    asked = requests.json_model(TokenRequest)
    expires = None if asked.expires is None else parse_duration(asked.expires)
    return identity.create_token(context(), actor(), asked.principal, expires), 201


def list_tokens() -> Answer:
    return Page[TokenDto](items=identity.list_tokens(context(), actor()))


def revoke_token(token_id: str) -> Answer:
    return identity.revoke_token(context(), actor(), token_id)


def list_sessions() -> Answer:
    return Page[SessionDto](items=identity.list_sessions(context(), actor()))


def close_session(session_id: str) -> Answer:
    identity.close_session(context(), actor(), session_id)
    return Closed(session_id=session_id)


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/tokens",
        summary="Make a token for a principal; its text is told this once. The owner's right.",
        tag="identity",
        view=create_token,
        body=json_body(TokenRequest),
        answers={201: NewTokenDto},
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/tokens",
        summary="List every token that there was, the oldest first. The owner's right.",
        tag="identity",
        view=list_tokens,
        answers={200: Page[TokenDto]},
        errors=(403,),
    ),
    Operation(
        method="DELETE",
        path="/tokens/{token_id}",
        summary="Revoke a token, and end every session that it opened. The owner's right.",
        tag="identity",
        view=revoke_token,
        answers={200: TokenDto},
    ),
    Operation(
        method="GET",
        path="/sessions",
        summary="List one's own sessions, the newest first; as the owner, all.",
        tag="identity",
        view=list_sessions,
        answers={200: Page[SessionDto]},
    ),
    Operation(
        method="DELETE",
        path="/sessions/{session_id}",
        summary="End a session of one's own; as the owner, any.",
        tag="identity",
        view=close_session,
        answers={200: Closed},
    ),
)
