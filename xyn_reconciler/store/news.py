"""What people and other runs bring to runs that a worker holds, or takes up again.

Decided gates, choices for interrupted steps, runs that a step waits for. Each
is asked for many runs at once.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xyn_reconciler.store.database import Connection


@dataclass(frozen=True, slots=True)
class GateNews:
    """A gate that waits, as its row has it."""

    effect_digest: str
    changes: dict[str, Any]
    """Fields of the step's view."""


@dataclass(frozen=True, slots=True)
class News:
    """What people and other runs brought to a run that is held."""

    gates: Mapping[str, GateNews] = field(default_factory=dict)
    resolutions: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """By the text of their ids."""


def load_news(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, News]:
    """Read what runs may wait for, where they wait for something."""
    if not run_ids:
        return {}
    gates, chosen = load_gates(connection, run_ids), load_resolutions(connection, run_ids)
    children = {str(key): one for key, one in load_children(connection, run_ids).items()}
    return {
        run_id: News(gates.get(run_id, {}), chosen.get(run_id, {}), children) for run_id in run_ids
    }


def load_gates(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, GateNews]]:
    """By run and step key, the gates that wait, or were decided while they waited."""
    if not run_ids:
        return {}
    gates = connection.exec_driver_sql(
        "SELECT s.run_id, s.key, g.step_id, g.effect_digest, g.decision, g.decided_because,"
        " g.expires_at FROM gates g JOIN steps s USING (step_id)"
        " WHERE g.run_id = ANY(%s) AND s.status = 'waiting'",
        (list(run_ids),),
    ).all()
    people = _people(connection, [gate.step_id for gate in gates if gate.decision is not None])
    found: dict[uuid.UUID, dict[str, GateNews]] = {}
    for gate in gates:
        changes = {
            "expires_at": gate.expires_at,
            "decision": gate.decision,
            "decided_because": gate.decided_because,
        }
        if gate.decision is not None:
            changes["outputs"] = _gate_outputs(gate.decision, people.get(gate.step_id, []))
        news = GateNews(gate.effect_digest, changes)
        found.setdefault(gate.run_id, {})[gate.key] = news
    return found


def _people(connection: Connection, decided: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Any]]:
    people: dict[uuid.UUID, list[Any]] = {}
    if decided:
        approvals = connection.exec_driver_sql(
            "SELECT a.step_id, a.principal, a.decision, a.comment, a.form FROM approvals a"
            " JOIN gates g USING (step_id, effect_digest)"
            " WHERE a.step_id = ANY(%s) ORDER BY a.created_at, a.principal",
            (list(decided),),
        )
        for approval in approvals:
            people.setdefault(approval.step_id, []).append(approval)
    return people


def _gate_outputs(decision: str, people: Sequence[Any]) -> dict[str, Any]:
    agreed = [one for one in people if one.decision == decision]
    last = agreed[-1] if agreed else None
    return {
        "decision": decision,
        "approvers": [one.principal for one in agreed] if decision == "approved" else [],
        "comment": last.comment if last else None,
        "form": last.form if last else None,
    }


def load_children(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, Any]]:
    """By their ids, the runs that steps of these runs wait for: what a view knows of each."""
    rows = connection.exec_driver_sql(
        "SELECT c.run_id, c.status, c.outputs, c.error, c.created_at FROM steps s"
        " JOIN runs c ON c.parent_step_id = s.step_id"
        " WHERE s.run_id = ANY(%s) AND s.status = 'waiting' AND s.wait_reason = 'run'",
        (list(run_ids),),
    )
    return {
        row.run_id: {
            "run_id": str(row.run_id),
            "status": row.status,
            "outputs": row.outputs,
            "error": row.error,
            "created_at": row.created_at,
        }
        for row in rows
    }


def load_resolutions(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, str]]:
    """By run and step key, what people chose for interrupted steps."""
    found: dict[uuid.UUID, dict[str, str]] = {}
    if run_ids:
        rows = connection.exec_driver_sql(
            "SELECT run_id, key, resolution FROM steps WHERE run_id = ANY(%s)"
            " AND status = 'interrupted' AND resolution IS NOT NULL",
            (list(run_ids),),
        )
        for row in rows:
            found.setdefault(row.run_id, {})[row.key] = row.resolution
    return found
