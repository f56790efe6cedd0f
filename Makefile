# Everything a person or CI does here. Needs python3 (3.11 or newer) and make; the rest is fetched on first use.
#
#   make demo                              the main job, on the embedded broker and SQLite
#   make demo BROKER=kafka STORE=postgres  the same on a real Apache Kafka and PostgreSQL, which it starts itself
#   make demo WATCH=1                      the same with a Prometheus beside it, left running until Ctrl-C
#   make test [TESTS=tests/avro] [PYTEST_OPTIONS="-x"]
#   make quick                             every test that needs no server
#   make long                              the tests that take minutes each, which make test leaves out
#   make bench [CASES=seal]                what seals and scraping cost, minutes each; see docs/performance.md
#   make lint | format | docs | lock | jars | clean

PYTHON ?= python3
BROKER ?= embedded
STORE ?= sqlite
WATCH ?=
DEMO_OPTIONS ?=
TESTS ?=
PYTEST_OPTIONS ?=
CASES ?=
BENCH_OPTIONS ?=

BIN := .venv/bin
READY := .venv/.ready
# The two slow ones first, so that they run beside each other.
LINTS := lint-mypy lint-pyright lint-ruff lint-format lint-imports lint-docstrings

.DEFAULT_GOAL := help
.PHONY: help setup demo test long quick bench lint $(LINTS) docs format lock jars system-packages clean
# A recipe that failed half way must not leave a file that looks done.
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#\( \|$$\)//p' Makefile | head -n 10

setup: $(READY)

$(READY): requirements.lock pyproject.toml tools/setup.sh tools/uv.lock
	@PYTHON="$(PYTHON)" tools/setup.sh

demo: $(READY)
	@$(if $(filter kafka postgres,$(BROKER) $(STORE)),tools/system-packages.sh,:)
	@$(BIN)/tellonce demo --broker $(BROKER) --store $(STORE) $(if $(WATCH),--watch) $(DEMO_OPTIONS)

# The jars come before the tests, where a slow fetch is no test's time. Where they cannot be had, the tests say so.
test: $(READY) system-packages
	@$(BIN)/python -m tellonce.testing.kafka_jars >/dev/null || true
	@$(BIN)/python tools/run_tests.py -m "not long" $(PYTEST_OPTIONS) -- $(TESTS)

# A whole city in twenty processes, once with what must not leak and once before a real Prometheus: minutes each.
long: $(READY) system-packages
	@$(BIN)/python -m tellonce.testing.kafka_jars >/dev/null || true
	@$(BIN)/python tools/run_tests.py -n 1 -m long $(PYTEST_OPTIONS) -- $(TESTS)

# These compute and do not wait: a worker for each processor. Generated inputs are fewer than in `make test`.
quick: $(READY)
	@$(BIN)/python tools/run_tests.py -n auto --hypothesis-profile=quick -m "not server" $(PYTEST_OPTIONS) -- $(TESTS)

# No test: it judges nothing. It runs the contract suite's city, which lies with the tests.
bench: $(READY) system-packages
	@PYTHONPATH="tests$${PYTHONPATH:+:$$PYTHONPATH}" $(BIN)/python benchmarks/bench.py $(CASES) $(BENCH_OPTIONS)

system-packages:
	@tools/system-packages.sh

# All checkers run even if one complains: a person wants the whole list. The slow ones run side by side.
lint: $(READY)
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target $(LINTS)

lint-mypy:
	$(BIN)/mypy

lint-pyright:
	$(BIN)/pyright

lint-ruff:
	$(BIN)/ruff check .

lint-format:
	$(BIN)/ruff format --check .

lint-imports:
	$(BIN)/lint-imports --no-cache

lint-docstrings:
	$(BIN)/interrogate src producers consumers
	$(BIN)/interrogate --ignore-module --whitelist-regex ^test_ tests

docs: $(READY)
	@$(BIN)/python tools/generate_docs.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	@test -x .tools/bin/uv || PYTHON="$(PYTHON)" tools/setup.sh
	@UPGRADE="$(UPGRADE)" tools/lock.sh

jars: $(READY) system-packages
	@$(BIN)/python -m tellonce.testing.kafka_jars

# The fetched jars stay: they are in the user's cache folder, which other checkouts share.
clean:
	rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
