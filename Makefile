# The one interface to development: `make help`. Each target installs what it needs.
#
# TORCH_INDEX  an extra package index for PyTorch. Without it, PyPI's build is taken,
#              on Linux the one with CUDA (gigabytes). For a machine without a GPU:
#              make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
# PYTHON       the Python that makes the environment, 3.11 or newer.
# WORKERS      processes of `make test`; each takes 1 to 2 GB.
# EXTRAS       further extras for `make setup`, e.g. EXTRAS=grib,slurm

PYTHON ?= python3
TORCH_INDEX ?=
EXTRAS ?=
WORKERS ?= 2

ENV := .venv
BIN := $(ENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet \
       -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
CORE := $(ENV)/.installed
comma := ,

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup system demo test test-all lint format types contracts notebooks bench \
        docs results faults clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(CORE) $(CORE)-dev $(CORE)-notebooks $(foreach e,$(subst $(comma), ,$(EXTRAS)),$(CORE)-$(e)) ## Install everything for work on the code (TORCH_INDEX=..., EXTRAS=grib,slurm)

system: ## Debian packages that some tests use and skip without: a browser, CDO, strace (as root)
	@{ command -v chromium && command -v cdo && command -v strace; } > /dev/null || \
	  { apt-get update -q && apt-get install -q -y --no-install-recommends chromium cdo strace; }

demo: $(CORE) ## The whole path on a simulated Earth, in minutes on two cores
	$(BIN)/sink-emulator demo

test: $(CORE)-dev ## The quick tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-all: $(CORE)-dev ## All tests, the slow ones too
	$(BIN)/python -m pytest -m "slow or not slow"

test-slow: $(CORE)-dev
	$(BIN)/python -m pytest -m slow

faults: $(CORE)-dev ## Every fault a night must survive, in full counts, into docs/operations.md
	$(BIN)/python -m tests.nightly.fault_table $(ARGS)

lint: $(CORE)-dev ## Style and format, notebooks too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(CORE)-dev ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(CORE)-dev ## Types, strictly
	$(BIN)/mypy

contracts: $(CORE)-dev ## Which room may import which
	$(BIN)/lint-imports

notebooks: $(CORE)-notebooks ## Run the notebooks
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks -m ""

bench: $(CORE)-bench ## Speed and memory: a table, and JSON under build/
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(CORE)-docs ## Pages of the Python interface, from the docstrings, under build/docs
	$(BIN)/pdoc --docformat google --output-directory build/docs emulator \
	  emulator.carbon emulator.data emulator.models emulator.learning \
	  emulator.evaluation emulator.nightly emulator.config emulator.cli

results: $(CORE) ## Every table and figure of docs/results.md (hours; needs the real models' files)
	$(BIN)/python -m benchmarks.results

clean: ## Remove caches and builds; data, stores and runs stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find emulator tests benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than 3.11; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(ENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(CORE)-%: $(CORE)
	$(PIP) -e '.[$*]'
	@touch $@
