"""The ready packs of the template at work: their actions, asked as a worker asks them."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action.pack_action import PackAction
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.packs import CONFIG, whole_pack, with_defaults
from xyn_reconciler.template import template_files

Does = Callable[..., dict[str, Any]]


@pytest.fixture
def does() -> Does:
    """Give ``does(action, settings, secrets, run_id=..., config=..., **inputs)``."""
    tools = installed_actions()

    def act(
        name: str,
        settings: Mapping[str, Any],
        secrets: Mapping[str, str] | None = None,
        *,
        run_id: uuid.UUID | None = None,
        config: Mapping[str, Any] | None = None,
        **inputs: Any,  # noqa: ANN401 - any JSON
    ) -> dict[str, Any]:
        files = [
            load(path, hashlib.sha256(data).hexdigest(), data)
            for path, data in template_files()
            if in_pack(path)[0] == name.partition(".")[0]
        ]
        pack = whole_pack(files)
        assert pack is not None
        schema = next(each.document for each in files if each.kind == "pack")["settings"]
        told = {f"{CONFIG}{key}.json": json.dumps(value) for key, value in (config or {}).items()}
        others = {p: t for p, t in pack.files.items() if not told or not p.startswith(CONFIG)}
        pack = pack.model_copy(
            update={
                "settings": with_defaults(schema, dict(settings)),
                "files": {**others, **told},
            }
        )
        context = an_attempt(run_id=run_id or uuid.uuid4(), secret=(secrets or {}).get)
        return PackAction(name, pack.actions[name], pack, tools).run(inputs, context)

    return act
