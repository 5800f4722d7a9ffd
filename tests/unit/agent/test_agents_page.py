"""The page on agents."""

from pathlib import Path

from xyn_reconciler.agent.router import AgentTask

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "agents.md"


def test_every_failure_is_on_the_page() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

    for code in AgentTask.spec.errors:
        assert any(f"`{code}`" in row for row in rows), code
