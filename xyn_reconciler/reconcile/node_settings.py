"""Which definition is this node's, and what does it say, with every default filled in.

The result is ``node.settings``: JSON, read by ``trigger`` (mode, labels, primary,
what a plan pins), by ``service`` (stage, auth, limits) and by pages. Times are
seconds, sizes are bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from xyn_reconciler.model.node import Limits, Node
from xyn_reconciler.model.units import parse_duration, parse_size

Settings = dict[str, Any]


def settings_of(node_id: str, definitions: Iterable[tuple[str, Mapping[str, Any]]]) -> Settings:
    """Give the settings of a node; ``definitions`` are (path, document) of kind ``node``.

    A node that nobody defines is in shadow mode, in the environment and stage
    of ``node.yaml``, and follows its origin.
    """
    primary: Mapping[str, Any] | None = None
    for path, document in definitions:
        is_primary = "/" not in path  # node.yaml, or node.json
        if document["id"] == node_id:
            return _settings(Node.model_validate(document), primary=is_primary)
        if is_primary:
            primary = document
    undefined: dict[str, Any] = {"id": node_id, "mode": "shadow"}
    if primary is not None:
        undefined |= {key: primary[key] for key in ("env_id", "stage", "auth") if key in primary}
    return _settings(Node.model_validate(undefined), primary=False)


def _settings(node: Node, *, primary: bool) -> Settings:
    return {
        "id": node.id,
        "env_id": node.env_id,
        "mode": node.mode,
        "stage": node.stage,
        "auth": "required" if node.auth_required() else "open",
        "egress": [] if node.egress is None else list(node.egress.allow),
        "images": [] if node.containers is None else list(node.containers.allow),
        "apps": node.apps is not None and node.apps.enabled,
        "limits": _limits(node.limits or Limits()),
        "providers": {
            name: provider.model_dump(exclude_none=True)
            for name, provider in node.providers.items()
        },
        "models": node.model_dump(
            include={"aliases", "override", "fallback", "budgets"},
            exclude_none=True,
            exclude_defaults=True,
        ),
        "artifacts": {} if node.artifacts is None else node.artifacts.model_dump(exclude_none=True),
        "retention": {
            name: None if time == "keep" else parse_duration(time).total_seconds()
            for name, time in node.retention.items()
        },
        "labels": list(node.labels),
        "vars": dict(node.vars),
        "primary": primary,
        "follow": node.follow,
        "mirror": list(node.mirror),
        "recipient": node.recipient,
    }


def _limits(limits: Limits) -> dict[str, float]:
    return {
        "max_steps": limits.max_steps,
        "run_timeout": parse_duration(limits.run_timeout).total_seconds(),
        "artifact_max": parse_size(limits.artifact_max),
        "artifact_quota": parse_size(limits.artifact_quota),
        "backlog": parse_duration(limits.backlog).total_seconds(),
        "backlog_runs": limits.backlog_runs,
        "backlog_max": parse_size(limits.backlog_max),
    }
