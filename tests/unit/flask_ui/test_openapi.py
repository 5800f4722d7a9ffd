import jsonschema

from flask_ui.api.openapi import document
from flask_ui.api.routes import OPERATIONS, routes

DOCUMENT = document(OPERATIONS, version="1")

SEED_ROUTES = {
    ("get", "/api/v1/health"),
    ("get", "/api/v1/events"),
    ("get", "/api/v1/events/{event_id}"),
    ("post", "/api/v1/events"),
    ("post", "/api/v1/runs"),
    ("get", "/api/v1/runs"),
    ("get", "/api/v1/runs/{run_id}"),
    ("post", "/api/v1/runs/{run_id}/cancel"),
    ("get", "/api/v1/runs/{run_id}/steps"),
    ("get", "/api/v1/runs/{run_id}/steps/{step}"),
    ("post", "/api/v1/artifacts"),
    ("get", "/api/v1/artifacts"),
    ("get", "/api/v1/artifacts/{artifact_id}"),
    ("get", "/api/v1/artifacts/{artifact_id}/download"),
}


def test_the_document_has_the_routes_of_the_seed() -> None:
    described = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}

    assert described >= SEED_ROUTES


def test_what_is_described_is_what_is_served() -> None:
    operations = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, item in DOCUMENT["paths"].items()
        for method in item
    }

    assert operations == {(operation.method, operation.path) for operation in OPERATIONS}
    assert routes(version="1").name == "api"


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)

    for reference in _references(DOCUMENT):
        *_, kind, name = reference.split("/")
        assert name in DOCUMENT["components"][kind], reference


def test_every_answer_names_its_correlation_id() -> None:
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                assert "X-Correlation-Id" in response["headers"]


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for part in value.values() for found in _references(part)]
    if isinstance(value, list):
        return [found for part in value for found in _references(part)]
    return []
