"""Write ``state-repo-template/schemas/*.json`` from the models: ``python docs/build_schemas.py``.

A test holds the files and the models together.
"""

# ruff: noqa: INP001 - a script, not a package

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "state-repo-template" / "schemas"
sys.path.insert(0, str(ROOT))

from xyn_reconciler.desired.schemas import KINDS, schema  # noqa: E402 - on the path only now


def text(kind: str) -> str:
    """One schema as its file has it."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in KINDS:
        (FOLDER / f"{each}.json").write_text(text(each), encoding="utf-8")
