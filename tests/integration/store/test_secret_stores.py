"""Both places of secrets keep to one protocol; only a commit changes an age file."""

import datetime as dt
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.redaction import REDACTED, Redactor
from xyn_reconciler.store import desired
from xyn_reconciler.store.age_files import SecretUnreadableError, new_key, seal
from xyn_reconciler.store.age_secrets import KIND, AgeSecrets
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.desired import Document
from xyn_reconciler.store.node_secrets import NodeSecrets
from xyn_reconciler.store.secret_store import EnvSecrets, SecretStore

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
OWN, RECIPIENT = new_key()
_, ELSEWHERE = new_key()
HERE, SHUT = "team/noc/ssh", "sys/local/integrations/other"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "age.key"
    file.write_text(OWN)
    return file


@pytest.fixture
def active(database: Database) -> Database:
    """A database with a file for this node, and one for another."""
    keep(database, {HERE: RECIPIENT, SHUT: ELSEWHERE}, sequence=1)
    return database


def keep(database: Database, files: dict[str, str], *, sequence: int) -> None:
    documents = [
        Document(
            path=f"secrets/{path}.age",
            kind=KIND,
            document_id=path,
            blob_id=f"{sequence}{index:039x}",
            document={"ciphertext": seal(path, f"value-{sequence} of {path}", [recipient], NOW)},
        )
        for index, (path, recipient) in enumerate(files.items())
    ]
    with database.begin() as connection:
        desired.ensure_node(connection, "seed")
        desired.apply_documents(
            connection, upserts=documents, retired=(), revision="r", sequence=sequence, now=NOW
        )


def test_each_gives_what_it_has_and_lists_names_alone(active: Database, key: Path) -> None:
    age = AgeSecrets(active, key)
    age.refresh()
    stores: dict[str, SecretStore] = {"env/": EnvSecrets({"A_TOKEN": "of-the-process"}), "": age}

    assert stores["env/"].get_secret("env/A_TOKEN") == "of-the-process"
    assert stores["env/"].list_secrets("env/A") == ["env/A_TOKEN"]
    assert stores[""].get_secret(HERE) == f"value-1 of {HERE}"
    assert stores[""].list_secrets() == [SHUT, HERE]
    assert stores[""].list_secrets("team/") == [HERE]
    for store in stores.values():
        assert store.get_secret("team/noc/nothing") is None


def test_none_changes_what_is_not_its_own_to_change_and_says_how(
    active: Database, key: Path
) -> None:
    env, age = EnvSecrets({}), AgeSecrets(active, key)

    with pytest.raises(InvalidError, match="where the node is started"):
        env.put_secret("env/A", "x")
    with pytest.raises(InvalidError, match="where the node is started"):
        env.delete_secret("env/A")
    with pytest.raises(InvalidError, match="xynctl secret set team/noc/ssh"):
        age.put_secret(HERE, "x")
    with pytest.raises(InvalidError, match="xynctl secret rm team/noc/ssh"):
        age.delete_secret(HERE)


def test_one_for_another_node_stays_shut_and_is_named(active: Database, key: Path) -> None:
    secrets = NodeSecrets(active, key, {}, Redactor())
    secrets.refresh()

    with pytest.raises(SecretUnreadableError):
        secrets.resolve(SHUT)
    assert list(secrets.unreadable()) == [SHUT]
    assert secrets.find(SHUT) is None
    assert secrets.find(HERE) == f"value-1 of {HERE}"


def test_a_new_value_is_given_at_once_and_the_old_one_stays_redacted(
    active: Database, key: Path
) -> None:
    redactor = Redactor()
    secrets = NodeSecrets(active, key, {}, redactor)
    secrets.refresh()
    keep(active, {HERE: RECIPIENT}, sequence=2)

    assert secrets.resolve(HERE) == f"value-2 of {HERE}"
    secrets.refresh()
    for value in (f"value-1 of {HERE}", f"value-2 of {HERE}"):
        assert redactor.text(f"it is {value}.") == f"it is {REDACTED}."
