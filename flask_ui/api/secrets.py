"""Secrets over the API: names, ciphertexts, recipients. No value goes in or out."""

from typing import Final

from flask_ui import requests
from flask_ui.api.table import Answer, Operation, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import Page
from xyn_reconciler.service import secrets as service
from xyn_reconciler.service.secrets import (
    RecipientsDto,
    SecretChangedDto,
    SecretChangeRequest,
    SecretDto,
    SecretFilesDto,
)


def list_secrets() -> Answer:
    return service.list_secrets(context())


def secret_recipients() -> Answer:
    return service.recipients(context())


def secret_files() -> Answer:
    return service.secret_files(context())


def change_secrets() -> Answer:
    asked = requests.json_model(SecretChangeRequest)
    return service.change_secrets(context(), actor(), asked)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/secrets",
        summary="List secrets by name, with who uses them and which cannot be opened here.",
        tag="secrets",
        view=list_secrets,
        answers={200: Page[SecretDto]},
    ),
    Operation(
        method="GET",
        path="/secrets/recipients",
        summary="Give those to whom a new value has to be encrypted.",
        tag="secrets",
        view=secret_recipients,
        answers={200: RecipientsDto},
    ),
    Operation(
        method="GET",
        path="/secrets/files",
        summary="Give the encrypted files that are active.",
        tag="secrets",
        view=secret_files,
        answers={200: SecretFilesDto},
    ),
    Operation(
        method="POST",
        path="/secrets",
        summary="Put encrypted files on main, or take some out; a draft where policy asks for one.",
        tag="secrets",
        view=change_secrets,
        body=json_body(SecretChangeRequest),
        answers={200: SecretChangedDto},
        errors=(403, 409, 422),
    ),
)
