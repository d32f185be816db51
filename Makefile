# Every command that a person or CI runs. `make` alone lists them.

# Programs that are built here once are kept outside the tree, so that `git clean` does not cost minutes.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coracle/tools
export PATH := $(TOOLS)/bin:$(PATH)

CARGO_DENY_VERSION := 0.20
# Options for the demo; `make demo ARGS=--once` checks the story and ends.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt fmt-check docs deny advisories generate generated-check bench install-tools ci

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Tell the whole story on an embedded cluster (ARGS=--once checks it and ends)
	@cargo run -p coracle -- demo $(ARGS)

test: install-tools ## Install what the tests need and run them all
	cargo test --workspace

lint: fmt-check ## Check the format and let clippy find nothing
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## Format the sources
	cargo fmt --all

fmt-check:
	cargo fmt --all -- --check

docs: ## Build the documentation of the code without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The advisories of RustSec are a database on the network, which CI does not reach and whose contents would change
# the result of an unchanged commit. They are looked at by hand, or by a job that may fail: see `advisories`.
deny: ## Check licences, banned crates and sources of the dependencies
	@.ci/tools cargo-deny $(CARGO_DENY_VERSION) "$(TOOLS)"
	cargo deny --locked check bans licenses sources

advisories: ## Check the dependencies for known vulnerabilities (needs the network)
	@.ci/tools cargo-deny $(CARGO_DENY_VERSION) "$(TOOLS)"
	cargo deny --locked check advisories

generate: ## Write the files that come from code: CRDs, RBAC, references
	cargo run -q -p coracle -- generate

# Compares the tree before and after, so that it also works beside changes that are not committed.
STATE = (git status --porcelain; git diff) | git hash-object --stdin

generated-check: ## Fail when a generated file is not what the code says
	@before=$$( $(STATE) ); $(MAKE) --no-print-directory generate; after=$$( $(STATE) ); \
	if [ "$$before" != "$$after" ]; then git --no-pager diff --stat; git status --short; \
	  echo "generated files were out of date: commit what \`make generate\` wrote"; exit 1; fi

bench: ## Measure what the README promises, and print it
	cargo build --release -p coracle
	cargo bench -p tests --bench fleet -- $(ARGS)

install-tools: ## Install the programs that the tests run, where they are missing
	@.ci/tools git
	@.ci/tools sshd
	@.ci/tools kubectl

ci: lint test docs deny generated-check ## Everything that has to pass before a merge
	$(MAKE) --no-print-directory demo ARGS=--once
