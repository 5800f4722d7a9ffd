"""What ``xynctl review show`` and ``diff`` print of a review."""

from typing import Any

from xyn_reconciler.cli.commands.reviews import _file_lines, _lines

NONE: dict[str, Any] = {"gained": [], "lost": []}
REVIEW: dict[str, Any] = {
    "name": "warm",
    "status": "draft",
    "closed_at": None,
    "version": None,
    "iteration": 2,
    "author": "ada",
    "head": "a" * 40,
    "main": "b" * 40,
    "behind": 3,
    "notes": None,
    "files": [{"path": "blueprints/disk.yaml", "change": "changed"}],
    "changes": [{"document_id": "bp.disk", "words": "gate approve removed"}],
    "effects": {
        "triggers": NONE,
        "schedules": {
            "gained": [
                {
                    "document_id": "bp.disk",
                    "cron": "0 3 * * *",
                    "timezone": "UTC",
                    "next_times": ["2026-01-01T03:00:00Z"],
                }
            ],
            "lost": [],
        },
        "gates": {"gained": [], "lost": [{"document_id": "bp.disk", "name": "approve"}]},
        "risk": "high",
        "reasons": [],
    },
    "risk": "high",
    "effect_digest": "c" * 64,
    "checks": [{"name": "tests", "status": "failed", "summary": "1 of 2 failed"}],
    "findings": [
        {
            "path": "blueprints/disk.yaml",
            "line": 3,
            "column": 1,
            "code": "untested",
            "message": "no test sends this \x1b[2J event",
        }
    ],
    "policy": [
        {"action": "blueprint.promote", "outcome": "needs_approval", "sentence": "rule r decides"}
    ],
    "approvals": [
        {"principal": "grace", "decision": "approved", "counts": False, "comment": "fine"}
    ],
    "comments": [{"author": "ada", "path": "x.yaml", "line": 7, "text": "why?"}],
    "reasons": ["1 more approval by role:OwnerAdmin"],
}


def test_a_review_says_what_would_change_first_and_what_is_in_the_way_last() -> None:
    lines = list(_lines(REVIEW))

    assert lines[:2] == [
        "draft/warm  draft",
        f"iteration 2 by ada: {'a' * 12} on main {'b' * 12}, 3 behind",
    ]
    titles = [line for line in lines[2:] if line and not line.startswith("  ")]
    assert titles == [
        "changes",
        "effects, risk high",
        "checks",
        "findings",
        "policy",
        "said",
        "in the way",
        f"to approve exactly this: --digest {'c' * 64}",
    ]
    assert "  bp.disk: gate approve removed" in lines
    assert "  gained schedule: bp.disk 0 3 * * * UTC; next 2026-01-01T03:00:00Z" in lines
    assert "  lost gate: bp.disk approve" in lines
    assert "  failed      tests       1 of 2 failed" in lines
    assert "  blueprint.promote: needs approval: rule r decides" in lines
    assert "  grace approved (counts no more): fine" in lines
    assert "  ada on x.yaml:7: why?" in lines


def test_what_strangers_wrote_commands_no_terminal() -> None:
    assert not any("\x1b" in line for line in _lines(REVIEW))


def test_a_promoted_review_names_its_commit_and_asks_for_nothing() -> None:
    promoted = REVIEW | {"status": "promoted", "closed_at": "2026-01-01", "version": "d" * 40}

    lines = list(_lines(promoted))

    assert lines[0] == "draft/warm  promoted"
    assert lines[-1] == f"promoted by {'d' * 40}"


def test_a_text_diff_looks_like_git_s_own() -> None:
    file = {
        "path": "a.yaml",
        "change": "added",
        "kind": "text",
        "hunks": [
            {
                "header": "@@ -0,0 +1,2 @@",
                "lines": [{"side": "new", "text": "id: x"}, {"side": "same", "text": "  y"}],
            }
        ],
    }

    assert list(_file_lines(file)) == [
        "--- /dev/null",
        "+++ a.yaml",
        "@@ -0,0 +1,2 @@",
        "+id: x",
        "   y",
    ]
