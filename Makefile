# What a person types here. `make` alone lists it.
#
# .ci/setup makes .venv from the pinned and hashed requirements, once, and again when they change.
# Recipes name only relative paths, so that a checkout may lie below a folder with spaces.

.DEFAULT_GOAL := help
.PHONY: help up test setup lint check coverage bench demo-storm lock screenshots clean

# Another environment's settings must not reach into ours.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX
# PYTHON=... chooses the interpreter of .venv; left alone, the first suitable one is taken.
export PYTHON
# Tests wait for processes as often as they compute: one more than the cores of a small machine.
TEST_JOBS ?= 3
CODE := xyn_reconciler $(wildcard flask_ui) tests $(wildcard bench)

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

up: ## Start a node with a demo and serve until Ctrl-C (XYN_PORT, XYN_HOME)
	@sh .ci/setup run
	@exec .venv/bin/xynctl up --demo

test: ## Run all tests; a missing neighbour (chromium, alertmanager, docker) is skipped by name
	@sh .ci/setup dev
	@exec .venv/bin/python -m pytest -n $(TEST_JOBS) -ra $(TESTS)

setup: ## Make .venv with everything for work on Xyn
	@sh .ci/setup dev

lint: setup ## Format, lint, types and import contracts
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy $(CODE)
	@.venv/bin/ty check xyn_reconciler flask_ui bench
	@.venv/bin/lint-imports

check: lint ## The same, and the quick tests
	@.venv/bin/python -m pytest -q -n $(TEST_JOBS) tests/unit

coverage: setup ## Run all tests and show which branches none of them takes
	@.venv/bin/python -m pytest -q -n $(TEST_JOBS) --cov --cov-report=term

bench: setup ## Measure Xyn beside its floors (ONLY=NAME: one row of them; PEERS=1: DBOS and Absurd too)
	@$(if $(PEERS),$(PEERS_READY))
	@exec .venv/bin/python -m bench $(addprefix --only ,$(ONLY)) $(if $(PEERS),--peers $(PEERS_PYTHON))

# Peers have an environment of their own: nothing of theirs reaches the one that Xyn is measured in.
PEERS_PYTHON := .venv/peers/bin/python
PEERS_READY = .venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv/peers && \
  .venv/bin/uv pip install --quiet --python $(PEERS_PYTHON) --group peers

demo-storm: ## 10,000 alerts while workers are killed, and what holds then (ALERTS, ALERTMANAGER=1)
	@sh .ci/setup run
	@exec .venv/bin/python -m bench.storm $(if $(ALERTS),--alerts $(ALERTS)) $(if $(ALERTMANAGER),--alertmanager)

# --universal: one file for every platform and Python; UPGRADE=1 takes what is newest.
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
  $(if $(UPGRADE),--upgrade) pyproject.toml

lock: setup ## Pin the requirements again (UPGRADE=1: the newest of each)
	@$(COMPILE) --output-file requirements.lock
	@$(subst pyproject.toml,--group build,$(COMPILE)) --output-file requirements-build.lock
	@$(COMPILE) --group build --group dev -c requirements.lock -c requirements-build.lock \
	  --output-file requirements-dev.lock

screenshots: setup ## Take the README's picture anew
	@XYN_SCREENSHOTS=1 .venv/bin/python -m pytest -q tests/acceptance/test_screenshot.py

clean: ## Remove .venv, caches and builds; .xyn, a node's data, stays
	@rm -rf .venv build dist .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache
	@find xyn_reconciler flask_ui tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
