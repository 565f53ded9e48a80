# Thin wrappers. `make up` and `make test` are all that a newcomer needs; both install what is missing.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
BIN55 := .venv-hub5.5/bin

.DEFAULT_GOAL := help
.PHONY: help up test test-hub5.5 lint wheel bench soak clean

help: ## Say what can be made.
	@grep -hE '^[a-z0-9.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9.-]+):.*## /\1\t/' | expand -t 16

up: .venv/local ## Install what is missing, then serve the whole product on http://127.0.0.1:8000.
	@exec $(BIN)/neuralinverse-hub up $(ARGS)

test: .venv/test ai_provider/vscode/node_modules tests/node/node_modules ## Install what is missing, then run the tests (ARGS="-k name" to choose).
	@$(BIN)/neuralinverse-hub install
	$(BIN)/python -m pytest $(ARGS)

test-hub5.5: .venv-hub5.5/test ## Run the tests that start a hub on JupyterHub 5.5, the version of the Helm chart.
	@$(BIN55)/neuralinverse-hub install
	@# How `up` minds processes and folders does not depend on the hub's version: two of its tests are enough here.
	$(BIN55)/python -m pytest -m "hub and not browser" -k "not test_up or env_names or every_way" $(ARGS)

lint: .venv/test ## Check format, lint, types and the walls between the rooms.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: ai_provider/vscode/node_modules ## Build the wheel, with the VS Code extension in it, into dist/.
	@cd ai_provider/vscode && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent package
	@$(BIN)/python -c 'from ai_provider import lab; from neuralinverse_hub.local import node; lab.build(node.find().binary)'
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist

bench: .venv/test ## Run every benchmark; docs/measurements.md explains them. Fails when a target was missed.
	@$(BIN)/neuralinverse-hub install
	@missed=; for script in tests/bench/bench_*.py; do \
		echo "== $$script"; $(BIN)/python $$script || missed="$$missed $$script"; \
	done; test -z "$$missed" || { echo "Targets missed in:$$missed"; exit 1; }

soak: .venv/test ## Ten minutes of streams, faults and disconnects against the gateway.
	$(BIN)/python tests/bench/soak_gateway.py

clean: ## Remove the environments; the per-user cache and data folders stay.
	rm -rf .venv .venv-hub5.5

# A stamp is touched only when pip ended well, so an interrupted install is repeated.
.venv/local: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Python packages into .venv (about 800 MB; a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@touch $@

.venv/test: .venv/local
	@echo "Installing what the tests need into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,test]'
	@touch $@

# What the tests of the extension, and those with the Node SDK, run in.
%/node_modules: %/package-lock.json .venv/local
	@echo "Installing what the tests in $* need"
	@cd $* && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.venv-hub5.5/test: setup.cfg pyproject.toml
	@test -x $(BIN55)/python || $(PYTHON) -m venv .venv-hub5.5
	@echo "Installing JupyterHub 5.5 and what the tests need into .venv-hub5.5"
	@$(BIN55)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,test]' 'jupyterhub==5.5.*'
	@touch $@
