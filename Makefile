# Everything happens in .venv, which is made on first use. A Python of your choice: make PYTHON=python3.13 test

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Tests start hundreds of processes: each would compile all of busfn again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test bench bench-scaling lint fmt clean
.NOTPARALLEL: # two pips must not work on one environment

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Run examples/hello.py: starts a NATS server and workers, and ends them.
	$(BIN)/busfn run examples/hello.py --n 4 --name bus

test: $(VENV)/.installed-dev ## Run the tests.
	$(BIN)/python scripts/run_tests.py

bench: $(VENV)/.installed-bench ## Measure busfn and its peers, and write docs/bench; QUICK=1 takes about two minutes and writes nothing.
ifdef QUICK
	$(BIN)/python -m bench --quick
else
	$(BIN)/python -m bench --install || true
	$(BIN)/python -m bench --json docs/bench/results.json --markdown docs/bench/results.md --plots docs/bench
endif

bench-scaling: $(VENV)/.installed ## Simulate the autoscaler beside KEDA and Knative; takes half a minute.
	$(BIN)/python -m bench.scaling

lint: $(VENV)/.installed-dev ## Check style, types, imports and sizes.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_size.py

fmt: $(VENV)/.installed-dev ## Format the code and fix what can be fixed.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove the environment, caches and builds.
	rm -rf $(VENV) bench/.venvs bench/results build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Empty files that say what was done, so that pip runs only when pyproject.toml has changed since. The installation is
# editable: changes of the code need none.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("busfn needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	$(PIP) install -q -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.made
	$(PIP) install -q -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.made
	$(PIP) install -q -e '.[bench]'
	@touch $@
