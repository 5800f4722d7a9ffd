"""A program of a pack in a container: the same protocol, against a real Docker engine."""

import time
from dataclasses import replace

import pytest

from tests.integration.action.test_container_exec import Images, images  # noqa: F401 - a fixture
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.pack_action import PackAction
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.model.errors import PermanentError, StepError
from xyn_reconciler.model.run import PlanPack

pytestmark = pytest.mark.slow

ECHO = """#!/bin/sh
echo working >&2
read -r request
echo "{\\"outputs\\": {\\"request\\": $request, \\"folder\\": \\"$(ls /step/in/actions)\\"}}"
"""


def program(text: str, image: str) -> PackAction:
    definition = {
        "summary": "It does something.",
        "run": {
            "file": "actions/it",
            "in": "container",
            "image": "{{ settings.image }}",
            "secrets": ["env/T"],
            "memory": "64MB",
        },
    }
    pack = PlanPack(
        version="0.1.0",
        digest="d",
        settings={"image": image},
        actions={"a.it": definition},
        files={"actions/it": text},
    )
    return PackAction("a.it", definition, pack, installed_actions())


def test_it_is_told_and_answers_as_a_process_is(
    images: Images,  # noqa: F811 - the fixture
    attempt: ActionContext,
) -> None:
    lines: list[str] = []
    context = replace(attempt, secret=lambda _: "one-secret", log=lines.append)
    told = program(ECHO, images.busybox).run({"host": "web"}, context)

    assert told["request"]["inputs"] == {"host": "web"}
    assert told["request"]["secrets"] == {"env/T": "one-secret"}
    assert told["folder"] == "it"
    assert "working" in lines
    assert images.left() == ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("#!/bin/sh\nexit 3\n", "exit_status"),
        ("#!/bin/sh\nsh -c 'kill -9 $$'\n", "killed"),
        ("#!/bin/sh\necho hello\n", "invalid_answer"),
        ("#!/bin/sh\nyes\n", "output_too_large"),
        ("#!/no/such/thing\n", "engine_refused"),
        ("echo\n", "not_executable"),
    ],
)
def test_its_failures_are_told_as_of_a_process(
    text: str,
    code: str,
    images: Images,  # noqa: F811 - the fixture
    attempt: ActionContext,
) -> None:
    context = replace(attempt, secret=lambda _: "one-secret")
    with pytest.raises(PermanentError) as caught:
        program(text, images.busybox).run({}, context)

    assert caught.value.failure_code == code
    assert images.left() == ""


def test_it_ends_with_the_time_that_it_has(
    images: Images,  # noqa: F811 - the fixture
    attempt: ActionContext,
) -> None:
    soon = replace(attempt, secret=lambda _: "one-secret", deadline=time.monotonic() + 3)
    with pytest.raises(StepError) as caught:
        program("#!/bin/sh\nsleep 600\n", images.busybox).run({}, soon)

    assert caught.value.failure_code == "timeout"
    assert images.left() == ""
