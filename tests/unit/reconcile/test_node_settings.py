from typing import Any

from xyn_reconciler.reconcile.node_settings import settings_of

SEED: dict[str, Any] = {
    "id": "seed",
    "env_id": "lab",
    "stage": "prod",
    "egress": {"allow": ["127.0.0.1:9093"]},
    "containers": {"allow": ["tools/jq:1.7"]},
    "limits": {"run_timeout": "2m", "artifact_max": "1MB"},
    "providers": {"openai": {"enabled": False}},
    "labels": ["edge"],
}
OTHER: dict[str, Any] = {"id": "b", "env_id": "lab", "follow": "none"}
FILES: list[tuple[str, dict[str, Any]]] = [("nodes/b.yaml", OTHER), ("node.yaml", SEED)]


def test_the_node_of_node_yaml_is_the_primary_one_with_every_default_filled_in() -> None:
    assert settings_of("seed", FILES) == {
        "id": "seed",
        "env_id": "lab",
        "mode": "active",
        "stage": "prod",
        "auth": "required",
        "egress": ["127.0.0.1:9093"],
        "images": ["tools/jq:1.7"],
        "apps": False,
        "limits": {
            "max_steps": 200,
            "run_timeout": 120.0,
            "artifact_max": 1_000_000,
            "artifact_quota": 20_000_000_000,
            "backlog": 604_800.0,
            "backlog_runs": 1000,
            "backlog_max": 1_000_000_000,
        },
        "providers": {"openai": {"enabled": False}},
        "models": {},
        "artifacts": {},
        "retention": {},
        "labels": ["edge"],
        "vars": {},
        "primary": True,
        "follow": "origin",
        "mirror": [],
        "recipient": None,
    }


def test_another_node_picks_its_own_definition() -> None:
    settings = settings_of("b", FILES)

    assert (settings["id"], settings["primary"], settings["mode"]) == ("b", False, "active")
    assert (settings["stage"], settings["auth"], settings["follow"]) == ("dev", "open", "none")


def test_a_node_that_nobody_defines_is_in_shadow_where_node_yaml_is() -> None:
    settings = settings_of("stranger", FILES)

    assert (settings["id"], settings["mode"], settings["primary"]) == ("stranger", "shadow", False)
    assert (settings["env_id"], settings["stage"], settings["auth"]) == ("lab", "prod", "required")


def test_without_any_definition_a_node_is_in_shadow() -> None:
    settings = settings_of("seed", [])

    assert (settings["mode"], settings["env_id"], settings["stage"]) == ("shadow", "local", "dev")


def test_how_long_artifacts_stay_is_seconds_or_for_ever() -> None:
    node = {"id": "seed", "retention": {"log": "90d", "report": "keep"}}

    found = settings_of("seed", [("node.yaml", node)])

    assert found["retention"] == {"log": 7_776_000.0, "report": None}


def test_a_bucket_is_as_it_was_written() -> None:
    bucket = {"bucket": "ours", "prefix": "", "key_ref": "env/KEY"}

    found = settings_of("seed", [("node.yaml", {"id": "seed", "artifacts": {"s3": bucket}})])

    assert found["artifacts"] == {"s3": bucket}
