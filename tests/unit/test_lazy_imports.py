"""The SDKs cost seconds to load: only the worker pays, and only when a step needs one."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SDKS = {"anthropic", "docker", "fabric", "openai", "paramiko"}

WORKER = """
import xyn_reconciler.node.worker_process
from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.node.agents import agent_task
catalogue({**installed_actions(), "agent_task": agent_task(None, str, None)})
"""


@pytest.mark.parametrize(
    "script",
    [
        "import flask_ui.app, flask_ui.serve",
        "import xyn_reconciler.node.node_process, xyn_reconciler.node.up",
        "import xyn_reconciler.cli",
        WORKER,
    ],
    ids=["web", "node", "command", "worker"],
)
def test_no_process_loads_an_sdk_at_its_start(script: str) -> None:
    assert SDKS.isdisjoint(loaded(script))


def test_a_worker_that_waits_has_no_reader_validator_repository_or_mapper() -> None:
    heavy = {"dulwich", "httpx2", "jsonschema", "pyrage", "ruamel.yaml", "sqlalchemy.orm", "yaml"}

    assert heavy.isdisjoint(loaded(WORKER))


def test_what_exists_is_known_without_a_database() -> None:
    script = (
        "from xyn_reconciler.action.registry import catalogue, installed_actions\n"
        "catalogue(installed_actions())"
    )

    assert {"psycopg", "sqlalchemy"}.isdisjoint(loaded(script))


def test_the_first_question_to_a_provider_loads_its_sdk_and_no_other() -> None:
    script = (
        "import time, uuid\n"
        "from xyn_reconciler.action.context import ActionContext\n"
        "from xyn_reconciler.node.agents import agent_task\n"
        "where = {'openai': {'enabled': True, 'base_url': 'http://127.0.0.1:9/v1'}}\n"
        "context = ActionContext(run_id=uuid.uuid4(), step_id=uuid.uuid4(), attempt=1,\n"
        "    correlation_id='c', deadline=time.monotonic() + 30, cancelled=lambda: False,\n"
        "    log=print, secret=lambda _: 'key', providers=where)\n"
        "question = {'provider': 'openai', 'model': 'm', 'prompt': 'p'}\n"
        "try: agent_task(None, str, None).run(question, context)\n"
        "except Exception as error: assert error.failure_code == 'connection', error"
    )

    found = loaded(script)

    assert SDKS & found == {"openai"}


def loaded(script: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules, file=sys.stderr)"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())
