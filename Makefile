# The front door: `make help` lists what there is.
.PHONY: build
build: ## Build the release binaries
	cargo build --release
