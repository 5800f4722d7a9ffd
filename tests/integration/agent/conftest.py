"""Both SDKs before the first question: they take a second, which a deadline would count."""

import importlib

import pytest


@pytest.fixture(scope="session", autouse=True)
def _sdks() -> None:
    for name in ("openai", "anthropic"):
        importlib.import_module(name)
