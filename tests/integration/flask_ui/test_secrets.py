"""Secrets by API and page: ciphertext in, names out, and nothing opens that should not."""

import datetime as dt

import pytest

from tests.integration.flask_ui.conftest import Web
from xyn_reconciler.node.age_key import ensure_age_key
from xyn_reconciler.node.home import Home
from xyn_reconciler.store.age_files import new_key, seal

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
PATH = "sys/local/integrations/checkmk"
VALUE = "open sesame, please"


def sealed(web: Web, path: str = PATH, value: str = VALUE) -> str:
    recipient, _ = ensure_age_key(Home(web.context.home))
    return seal(path, value, [recipient], NOW)


def test_a_secret_is_committed_as_ciphertext_and_resolved_by_its_reference(web: Web) -> None:
    done = web.client().post("/api/v1/secrets", json={"changes": {PATH: sealed(web)}})

    assert done.status_code == 200, done.text
    commit = done.get_json()["commit"]
    web.context.reconciler.reconcile()
    kept = web.context.repository.read_path(commit, f"secrets/{PATH}.age")
    assert kept is not None
    assert kept.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")
    assert VALUE.encode() not in kept
    assert web.context.secret(PATH) == VALUE
    assert web.context.redactor.text(f"it is {VALUE}") == "it is [redacted]"
    (listed,) = web.client().get("/api/v1/secrets").get_json()["items"]
    assert (listed["reference"], listed["readable"]) == (PATH, True)
    page = web.client().get("/ui/secrets").text
    assert PATH in page
    assert VALUE not in page


def test_what_is_encrypted_to_others_or_to_another_path_is_refused(web: Web) -> None:
    _, stranger = new_key()
    client = web.client()

    shut = {PATH: seal(PATH, VALUE, [stranger], NOW)}
    copied = {PATH: sealed(web, path="team/noc/other")}
    plain = {PATH: VALUE}

    for changes, words in (
        (shut, "not encrypted to this node"),
        (copied, "copied"),
        (plain, "secret"),
    ):
        answer = client.post("/api/v1/secrets", json={"changes": changes})
        assert answer.status_code == 422, answer.text
        assert words in answer.text
        assert VALUE not in answer.text


@pytest.mark.parametrize("path", ["env/NAME", "elsewhere/x", "team/noc", "sys/../x", "../../node"])
def test_only_paths_of_secrets_are_written(web: Web, path: str) -> None:
    answer = web.client().post("/api/v1/secrets", json={"changes": {path: sealed(web)}})

    assert answer.status_code == 422
    assert "no path of a secret" in answer.text


def test_removing_takes_the_file_out(web: Web) -> None:
    client = web.client()
    client.post("/api/v1/secrets", json={"changes": {PATH: sealed(web)}})
    web.context.reconciler.reconcile()

    gone = client.post("/api/v1/secrets", json={"changes": {PATH: None}})

    assert gone.status_code == 200, gone.text
    web.context.reconciler.reconcile()
    assert web.context.secret(PATH) is None
    assert web.context.redactor.text(VALUE) == "[redacted]"
