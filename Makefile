# Every target sets up what it needs; nothing has to be run first. CONTRIBUTING.md says when to use which.
#
#   make run  [LOOP=asyncio] [ARGS="…"]    the example, on oxio or on stock asyncio
#   make test [ARGS="…"]                   the tests; ARGS go to pytest
#   make conformance [ARGS="…"]            CPython's own asyncio tests, on every interpreter found
#   make fuzz [SECONDS=600]                random programs on oxio and on asyncio, until they differ
#   make bench [ARGS="…"]                  oxio beside asyncio and uvloop, from a release build
#
# PYTHON=/path/to/python chooses the interpreter of .venv (3.11 or newer). It is remembered; the first time it is python3.

LOOP ?= oxio
ARGS ?=
SECONDS ?= 600
VENV := .venv/bin/python
CRAWLER := examples/crawler/crawler.py

# rustup's cargo may not be on the PATH of the shell it was installed from.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test test-rust test-python loom lint lint-format lint-rust lint-loadgen lint-layers lint-python
.PHONY: stubs conformance fuzz bench wheel clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup:  ## make .venv and build oxio into it
	@tools/setup.sh test

run:  ## run examples/crawler on oxio (LOOP=asyncio: on stock asyncio)
	@tools/setup.sh run
ifeq ($(LOOP),asyncio)
	$(VENV) $(CRAWLER) $(ARGS)
else
	$(VENV) -m oxio $(CRAWLER) $(ARGS)
endif

test: test-rust test-python  ## all tests

# cargo-nextest when it is there: it gives every test its own process.
test-rust: setup  ## the tests of oxio-core
	@if command -v cargo-nextest >/dev/null; then \
		cargo nextest run --package oxio-core --no-fail-fast; \
	else \
		cargo test --package oxio-core --no-fail-fast; \
	fi

test-python: setup  ## the tests of the package (ARGS="-k cancel tests/behaviour")
	$(VENV) -m pytest $(ARGS)

loom: setup  ## the cross-thread queues under every order of two threads
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(CURDIR)/.build/cargo/loom LOOM_MAX_PREEMPTIONS=3 cargo test --release --package oxio-core --lib loom

# Each by itself, so that `make -k lint`, as the gate runs it, names everything that is wrong.
lint: lint-format lint-rust lint-loadgen lint-layers lint-python  ## formatting, lints, and the order of the layers

lint-format: setup
	cargo fmt --all --check

lint-rust: setup
	PYO3_PYTHON=$(abspath $(VENV)) cargo clippy --workspace --all-targets --quiet -- --deny warnings

lint-loadgen: setup
	CARGO_TARGET_DIR=$(CURDIR)/.build/loadgen cargo clippy --manifest-path benchmarks/loadgen/Cargo.toml --all-targets --quiet -- --deny warnings

lint-layers: setup
	$(VENV) tools/check_layers.py

lint-python: setup
	$(VENV) -m ruff check --quiet --select E9,F63,F7,F401,F841 python tools tests benchmarks examples

stubs: setup  ## mypy on the package, and the .pyi files against the module they describe
	$(VENV) -m pytest tests/typing $(ARGS)

conformance: setup  ## CPython's own asyncio tests on oxio (ARGS="--python 3.12 --module test_tasks")
	$(VENV) tools/conformance.py $(ARGS)

fuzz: setup  ## random programs on oxio and on asyncio, until they differ (SECONDS=600 ARGS="--theme …")
	$(VENV) tests/differential/fuzz.py --seconds $(SECONDS) $(ARGS)

bench:  ## the benchmarks, from a release build
	@tools/setup.sh bench
	PYTHONPATH=$(CURDIR)/.build/release/python $(VENV) benchmarks/driver.py $(ARGS)

wheel: setup  ## a release wheel, in .build/wheels
	$(VENV) -m maturin build --release --out .build/wheels --interpreter $(VENV)

clean:  ## remove everything that was built
	cargo clean --quiet
	rm -rf .build .venv python/oxio/_oxio*.so
