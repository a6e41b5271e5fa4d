# Every target sets up all it needs: python3 (3.10 or newer, with venv) and make are enough.
#   make test PYTHON=python3.13 VENV=.venv-3.13     tests with another Python, in an environment of its own

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
INTEROP_VENV ?= .venv-interop
# What 'make demo' runs, in the directory of the example.
DEMO_DIRECTORY ?= examples/index
DEMO ?= demo.py
BENCH ?= -m benchmarks
# What needs the real uWSGI, or its uwsgidecorators.py: elsewhere these tests skip themselves.
INTEROP ?= tests/interop tests/test_spooler_uwsgi.py tests/test_spool_calls.py
# Options of the chaos program: --seconds, --seed, --messages, --signals, --sections, --senders, --keep.
CHAOS ?=
PYTEST_ARGS ?= -n auto

BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --no-input --quiet


.DEFAULT_GOAL := help
.PHONY: help demo test chaos lint format bench interop clean

help:
	@echo "make demo     index the standard library with a farm of mules"
	@echo "make test     all tests"
	@echo "make chaos    kill, stop and restart at random under load, then print the ledger (CHAOS='--seed 1 --seconds 60')"
	@echo "make lint     ruff, mypy and the layers of the imports"
	@echo "make format   let ruff put the code in shape"
	@echo "make bench    the table of ratios against uWSGI, multiprocessing, faster-fifo, pyzmq and C"
	@echo "make interop  build the real uWSGI and run both side by side"
	@echo "make clean    remove environments and caches"

demo: $(VENV)/.installed
	cd $(DEMO_DIRECTORY) && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/python $(DEMO)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

chaos: $(VENV)/.installed-test
	cd tests && $(abspath $(BIN))/python -m chaos $(CHAOS) && $(abspath $(BIN))/python -m chaos.spooling

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python $(BENCH)

interop: $(INTEROP_VENV)/.installed
	$(INTEROP_VENV)/bin/python -m pytest $(INTEROP) $(PYTEST_ARGS)

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an environment is made anew when what the package needs has changed.
$(VENV)/.installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python $(PIP) install --editable ".[test]"
	@touch $@

# mypy reads the tests' imports too, so the tests' packages belong to it.
$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(BIN)/python $(PIP) install --editable ".[test,lint]"
	@touch $@

$(BENCH_VENV)/.installed: setup.py
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python $(PIP) install --editable ".[bench]"
	@touch $@

$(INTEROP_VENV)/.installed: setup.py
	$(PYTHON) -m venv $(INTEROP_VENV)
	$(INTEROP_VENV)/bin/python $(PIP) install --editable ".[test,interop]"
	@touch $@
