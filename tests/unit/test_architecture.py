"""What the import contracts cannot see: what is loaded when a command starts."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SLOW = {"anthropic", "docker", "dulwich", "fabric", "flask", "openai", "psycopg", "sqlalchemy"}


def test_help_imports_nothing_that_is_slow() -> None:
    script = (
        "import sys\n"
        "from xyn_reconciler.cli import main\n"
        "sys.argv = ['xynctl', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )

    assert SLOW.isdisjoint(done.stderr.split())
