"""What ``container.exec`` refuses before any engine is asked."""

from pathlib import Path
from typing import Any

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action import container_engine
from xyn_reconciler.action.container_engine import remove_leftovers
from xyn_reconciler.action.container_exec import ContainerExec
from xyn_reconciler.model.errors import PermanentError

IMAGE = "registry.example.net:5000/tools/jq@sha256:" + "a" * 64


@pytest.mark.parametrize(
    "inputs",
    [
        {"image": "Busybox"},
        {"image": "busybox:-x"},
        {"image": "../busybox"},
        {"files": {"/etc/passwd": ""}},
        {"files": {"in/../x": ""}},
        {"files": {"in/.x": ""}},
        {"files": {"out/x": ""}},
        {"files": {"in": ""}},
        {"inputs": {"a/b": "0" * 32}},
        {"inputs": {"..": "0" * 32}},
        {"files": {"in/a": ""}, "inputs": {"a": "0" * 32}},
        {"files": {"in/a": "", "in/a/b": ""}},
        {"files": {"in/a/b": ""}, "inputs": {"a": "0" * 32}},
        {"artifacts": ["/step/out"]},
        {"artifacts": ["in/"]},
        {"artifacts": ["out/../in"]},
        {"result": "result.json"},
        {"image": "sha256:abc"},
        {"image": "--privileged@sha256:" + "a" * 64},
        {"user": "0"},
        {"user": "0:0"},
        {"user": "1000:0"},
        {"user": "root"},
        {"network": "host"},
        {"network": "bridge"},
        {"network": "container:web"},
        {"memory": "1MB"},
        {"memory": "9GB"},
        {"memory": "lots"},
        {"env": {"A=B": "c"}},
        {"argv": ["id", "\0"]},
    ],
)
def test_what_would_widen_the_container_is_refused(inputs: dict[str, Any]) -> None:
    context = an_attempt()

    with pytest.raises(PermanentError) as caught:
        ContainerExec().run({"image": IMAGE, "argv": ["id"], **inputs}, context)

    assert caught.value.failure_code == "invalid_inputs"


def test_where_no_engine_is_set_up_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(container_engine, "_SOCKET", Path("/nowhere/at/all.sock"))

    assert remove_leftovers(lambda _: pytest.fail("nobody is to be asked")) == 0
