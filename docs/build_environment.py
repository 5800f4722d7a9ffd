"""Write ``reference/environment.md`` from the manifest: ``python docs/build_environment.py``.

A test holds the page and the manifest together.
"""

# ruff: noqa: INP001 - a script, not a package

import sys
from pathlib import Path

PAGE = Path(__file__).parent / "reference" / "environment.md"
sys.path.insert(0, str(Path(__file__).parent.parent))

from xyn_reconciler.model.variables import VARIABLES, Variable  # noqa: E402 - on the path only now

HEAD = """\
# Environment variables

<!-- Made by docs/build_environment.py of model/variables.py; changes here are lost. -->

None has to be set for `make up`. `xynctl preflight` names those that a start cannot do without,
and writes a `.env` to fill in, which only its owner may read; `docker compose` reads it, and
`xynctl up --compose` runs the preflight first. With a provider enabled in `node.yaml`, at least
one enabled provider's key is needed; the template enables none.

Values of variables that look secret (by their name, as `*_TOKEN`, `*_KEY`, `*PASSWORD*`, or as a
URL with a password) are taken out of logs, rows, artifacts and records. A step reads one through a
secret reference, `env/NAME`, never by an expression.

| variable | what it is | |
|---|---|---|
"""


def page() -> str:
    """Give the whole page."""
    return HEAD + "".join(f"{_row(variable)}\n" for variable in VARIABLES)


def _row(variable: Variable) -> str:
    remarks = [
        "secret" if variable.secret else "",
        f"needed where {variable.provider} is the provider enabled" if variable.provider else "",
        "needed by compose" if variable.compose else "",
    ]
    return f"| `{variable.name}` | {variable.meaning} | {', '.join(filter(None, remarks))} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
