"""Where ``main`` lists signers, nothing comes into it that none of them signed."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.review.review_world import (
    DISK,
    NODE,
    POLICY,
    PRINCIPALS,
    ReviewWorld,
    eventually,
)
from xyn_reconciler.store.git import MAIN


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / f"key-{name}" for name in ("ada", "eve")}
    for path in made.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return made


def sign_with(world: ReviewWorld, key: Path | None) -> None:
    world.git("config", "commit.gpgsign", "false" if key is None else "true")
    world.git("config", "gpg.format", "ssh")
    world.git("config", "user.signingkey", str(key))


def signers(**listed: Path) -> str:
    keys = {name: key.with_suffix(".pub").read_text() for name, key in listed.items()}
    return "".join(f"{name}@example.net {key}" for name, key in keys.items())


def test_only_what_a_listed_key_signed_comes_into_main_by_push_or_draft(
    served: ReviewWorld, keys: dict[str, Path]
) -> None:
    first = {
        "node.yaml": NODE.format(stage="dev"),
        "principals.yaml": PRINCIPALS,
        "policies/two.yaml": POLICY,
        "blueprints/disk.yaml": DISK,
        "allowed_signers": signers(ada=keys["ada"]),
    }
    served.write(first)
    assert served.push("HEAD:main", by="ada").ok
    base = served.repository.resolve(MAIN)
    assert base is not None

    served.write({"README.md": "Unsigned."}, "Say nothing")
    unsigned = served.push("HEAD:main", by="ada")
    assert served.push("HEAD:draft/unsigned", by="ada").ok
    served.start_from(base)
    sign_with(served, keys["eve"])
    served.write({"allowed_signers": signers(ada=keys["ada"], eve=keys["eve"])}, "Let me in")
    strange = served.push("HEAD:main", by="ada")
    served.start_from(base)
    sign_with(served, keys["ada"])
    signed = served.write({"README.md": "Signed."})
    assert served.push("HEAD:draft/signed", by="ada").ok
    taken = served.push("HEAD:main", by="ada")

    assert not unsigned.ok
    assert "unsigned_commit: commit" in unsigned.said
    assert '"Say nothing" is not signed' in unsigned.said
    assert not strange.ok
    assert '"Let me in" is not signed' in strange.said
    assert taken.ok, taken.said
    assert served.repository.resolve(MAIN) == signed
    assert eventually(lambda: served.statuses("unsigned").get("validation") == "failed")
    assert eventually(lambda: served.statuses("signed").get("validation") == "passed")


def test_who_may_sign_is_a_change_of_policy(served: ReviewWorld, keys: dict[str, Path]) -> None:
    served.write(
        {
            "node.yaml": NODE.format(stage="test"),
            "principals.yaml": PRINCIPALS,
            "policies/two.yaml": POLICY,
        }
    )
    assert served.push("HEAD:main", by="ada").ok
    served.write({"allowed_signers": signers(eve=keys["eve"])})

    pushed = served.push("HEAD:main", by="ada")

    assert not pushed.ok
    assert "policy.change needs 1 more approval by role:OwnerAdmin" in pushed.said
