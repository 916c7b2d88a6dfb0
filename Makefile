# Everything a clone can do. `make help` lists it.
unexport PYTHONDONTWRITEBYTECODE
export UV_LINK_MODE ?= hardlink
PYTHON ?= python3
UV := .venv/bin/uv
BIN := .venv/bin
ONLY ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run setup setup-dev test check format acceptance bench bench-peers wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tidegate needs Python 3.11 or newer; $$($(PYTHON) --version) found. Set PYTHON=/path/to/python3.11."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The stamps make both set-ups idempotent: nothing is resolved or downloaded when the lock has not changed.
.venv/.run: .venv/bin/uv pyproject.toml uv.lock
	$(UV) sync --locked --no-dev --inexact --compile-bytecode --python $(BIN)/python
	@touch $@

.venv/.dev: .venv/bin/uv pyproject.toml uv.lock
	$(UV) sync --locked --inexact --compile-bytecode --python $(BIN)/python
	@touch $@ .venv/.run

# htmx and uPlot: pinned by the lock, checked by its digests, and never committed.
setup: .venv/.run ## set up .venv for running, and fetch the dashboard's two libraries
	@$(BIN)/python -m tidegate.dashboard.vendor_files package-lock.json

setup-dev: .venv/.dev ## set up .venv for developing, and install the servers and the browser that tests start
	@$(BIN)/python -m tidegate.dashboard.vendor_files package-lock.json
	@$(BIN)/python -m tests.services.axe package-lock.json
	@$(BIN)/python -m tests.services.install

run: setup ## start the platform on http://127.0.0.1:8080 with a sample model
	@exec $(BIN)/tidegate up --data-dir .tidegate --sample

# Two cores, and two workers that mostly wait: one has the platform of the e2e tests, one the registries (tests/order.py).
WORKERS ?= 4

test: setup-dev ## the whole test-suite
	$(BIN)/pytest --numprocesses $(WORKERS) --durations 12

check: setup-dev ## format, lint, types, floors, docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 src/tidegate_worker
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_docs.py tests/architecture

format: setup-dev ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

acceptance: setup-dev ## the acceptance lists at full size; ONLY=first for one
	$(BIN)/python -m bench.acceptance $(ONLY)

bench: setup-dev ## the benchmarks that need no peer
	$(BIN)/python -m bench

bench-peers: setup-dev ## Tidegate and its peers side by side; ARGS="--only mlflow,tidegate --rounds 1"
	$(BIN)/python -m bench.peers $(ARGS)

wheel: setup ## build the wheel, with the dashboard's libraries and their licences in it
	$(UV) build --wheel --out-dir dist

clean: ## remove caches; data in .tidegate stays
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
