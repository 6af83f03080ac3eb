# The front door: `make` lists what there is. Every target says what it lacks, or installs it when root.

# Where rustup puts cargo, for a shell that has not been told.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
SERVER := $(TARGET_DIR)/release/cairn-server
PORT ?= 6379
FUZZ_SECONDS ?= 30
SIM_SEEDS ?= 20000
SIM_SECONDS ?= 600
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/targets/*.rs)))

STAGE = @printf '\n== %s\n'
STARTED := $(shell date +%s)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build run test lint rust-tests compat clients fuzz sim bench clean setup-build setup-test

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

build: setup-build ## Build the release binaries
	$(STAGE) 'Release build'
	cargo build --release --locked

run: build ## Build, and serve 127.0.0.1:6379 (PORT=...) with its data in ./data
	@mkdir -p data
	exec $(SERVER) --bind 127.0.0.1 --port $(PORT) --dir ./data

test: setup-test lint rust-tests build compat clients fuzz ## Run everything that CI runs
	$(STAGE) "All stages passed in $$(( $$(date +%s) - $(STARTED) )) s"

lint: setup-test ## Formatting, clippy with warnings as errors, the test that guards the layers
	$(STAGE) 'Lint'
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path tests/clients/rust/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --quiet --test architecture

rust-tests: setup-test ## Unit tests, and the tests that drive the server over TCP
	$(STAGE) 'Rust tests'
	cargo test --locked

compat: build setup-test ## Redis's own Tcl suite, with the server standing where redis-server stood
	$(STAGE) 'The Tcl suite of Redis'
	redis-tests/run --server $(SERVER) --page

clients: build setup-test ## Everyday scripts of real clients
	$(STAGE) 'Real clients'
	tests/clients/run $(SERVER)

fuzz: setup-test ## Run every fuzz target for 30 seconds (FUZZ_SECONDS=...)
	$(STAGE) 'Fuzzing'
	for target in $(FUZZ_TARGETS); do fuzz/run $$target $(FUZZ_SECONDS) || exit 1; done

sim: setup-build ## Crash, fill and break the disk under 20,000 random lives, 10 minutes at most (SIM_SEEDS=... SIM_SECONDS=...)
	$(STAGE) 'Simulation'
	CAIRN_SIM_SEEDS=$(SIM_SEEDS) CAIRN_SIM_SECONDS=$(SIM_SECONDS) cargo test --release --locked --lib simulation:: -- --nocapture

bench: build ## Measure beside redis-server and write docs/benchmarks.md
	@tests/setup.sh bench
	cargo build --release --locked --example cairn-load
	python3 benches/compare.py --server $(SERVER)

clean: ## Remove what building and testing left (never ./data)
	cargo clean
	rm -rf redis-tests/.work tests/clients/.work benches/.work fuzz/target fuzz/corpus fuzz/artifacts

setup-build:
	@tests/setup.sh build

setup-test:
	@tests/setup.sh test
