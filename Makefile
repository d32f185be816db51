# Every command that a person or CI runs. `make` alone lists them.

# Programs that are built here once are kept outside the tree, so that `git clean` does not cost minutes.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coracle/tools
export PATH := $(TOOLS)/bin:$(PATH)

CARGO_DENY_VERSION := 0.20
# The program that kustomize-rs is compared with.
KUSTOMIZE_VERSION := v5.8.1
# What plays nodes and their pods beside upstream's controllers.
KWOK_VERSION := v0.8.0
# Tests on upstream's own control plane mostly wait for it, so more of them run than there are cores.
CONFORMANCE_THREADS ?= 4
# Names of the cluster that `make node-test` starts.
COREDNS_VERSION := v1.15.0
# How many documents and trees the two are compared on, and from which random number on: always the same ones, so that
# a commit that passed once passes again.
DIFFERENTIAL_CASES ?= 500
DIFFERENTIAL_SEED ?= 1
# How many random sequences of writes are compared with upstream, and from which random number on: always the same ones.
SEQUENCES ?= 300
SEQUENCES_SEED ?= 1
# Options for the demo; `make demo ARGS=--once` checks the story and ends.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test conformance matrix-goldens flux-goldens mutants image node-test node-tests node-images lint fmt fmt-check docs deny advisories generate generated-check bench bench-flux kustomize kustomize-diff kustomize-real kustomize-goldens kustomize-bench install-tools ci

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Tell the whole story on an embedded cluster (ARGS=--once checks it and ends)
	@cargo run -p coracle -- demo $(ARGS)

test: install-tools ## Install what the tests need and run them all
	cargo test --workspace

# Upstream's own programs, built from their published modules once.
CONTROL_PLANE = CORACLE_CONTROL_PLANE=$$(.ci/tools control-plane "$(TOOLS)") && export CORACLE_CONTROL_PLANE
KWOK = CORACLE_KWOK=$$(.ci/tools kwok $(KWOK_VERSION) "$(TOOLS)") && export CORACLE_KWOK
FLUX = CORACLE_FLUX_SOURCE_CONTROLLER=$$(.ci/tools flux source-controller "$(TOOLS)") && \
	CORACLE_FLUX_KUSTOMIZE_CONTROLLER=$$(.ci/tools flux kustomize-controller "$(TOOLS)") && \
	CORACLE_FLUX_CLI=$$(.ci/tools flux flux "$(TOOLS)") && \
	export CORACLE_FLUX_SOURCE_CONTROLLER CORACLE_FLUX_KUSTOMIZE_CONTROLLER CORACLE_FLUX_CLI

# Everything here also holds on upstream's own etcd, kube-apiserver and controllers. Scenarios that need more than a
# Kubernetes stay on the embedded cluster: see `Needs`.
conformance: install-tools ## Test against upstream's own Kubernetes and Flux, which are built here once
	@$(CONTROL_PLANE) && $(KWOK) && $(FLUX) && set -x && \
	cargo test -p coracle --test conformance -- --test-threads $(CONFORMANCE_THREADS) && \
	CORACLE_TEST_CLUSTER=upstream cargo test -p tests && \
	CORACLE_TEST_CLUSTER=upstream cargo test -p tests --test beside_flux_upstream && \
	CORACLE_SEQUENCES=$(SEQUENCES) CORACLE_SEED=$(SEQUENCES_SEED) cargo test -p tests --test differential -- --nocapture

flux-goldens: install-tools ## Write again what Flux does in the scenarios that Coracle is compared in (ARGS=name: only those)
	@$(CONTROL_PLANE) && $(FLUX) && set -x && \
	CORACLE_TEST_CLUSTER=upstream CORACLE_RECORD_FLUX=1 \
	  cargo test -p tests --test beside_flux --test beside_flux_upstream -- $(ARGS)

matrix-goldens: ## Record again what upstream answers to the matrix of requests
	@$(CONTROL_PLANE) && set -x && \
	CORACLE_TEST_CLUSTER=upstream CORACLE_MATRIX_RECORD=1 cargo test -p tests --test matrix

mutants: ## Prove that the matrix of requests notices each fault that can be built into the embedded cluster
	cargo test -p tests --features mutants --test matrix every_fault_is_noticed -- --nocapture

# A static program in an image that holds nothing else, so that no base has to be fetched.
STATIC_TARGET ?= $(shell uname -m)-unknown-linux-gnu
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE ?= coracle:$(VERSION)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
STATIC := $(TARGET_DIR)/$(STATIC_TARGET)/release/coracle

image: ## Make Coracle's image as an archive for docker load and ctr images import (IMAGE=name)
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target $(STATIC_TARGET) -p coracle
	.ci/coracle-image "$(STATIC)" "$(TARGET_DIR)/image/coracle.tar" $(IMAGE)

node-images: image
	@for program in containerd runc cni iptables ip busybox git; do .ci/tools $$program || exit; done
	@.ci/tools coredns $(COREDNS_VERSION) "$(TOOLS)"
	tests/node/images "$(TARGET_DIR)/node-images" "$$(.ci/tools nginx "$(TOOLS)")" "$(TOOLS)/bin/coredns" \
	  "$$(.ci/tools node-servers "$(TOOLS)")"
	cp "$(TARGET_DIR)/image/coracle.tar" "$(TARGET_DIR)/node-images"

# Inside of namespaces of its own: this machine's network, mounts and processes are not touched.
node-test: ## Test Coracle's image as a pod on a whole node with real containers (needs root)
	@if tests/node/inside check; then $(MAKE) --no-print-directory node-tests; else test "$$CI" != true; fi

node-tests: node-images
	@CORACLE_CONTROL_PLANE=$$(.ci/tools control-plane "$(TOOLS)") && export CORACLE_CONTROL_PLANE && set -x && \
	CORACLE_NODE_IMAGES="$(abspath $(TARGET_DIR))/node-images" \
	  cargo test --config "target.'cfg(all())'.runner = '$(CURDIR)/tests/node/inside'" -p coracle --test node -- $(ARGS)

lint: fmt-check ## Check the format and let clippy find nothing
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p coracle --test conformance --test node -- -D warnings
	cargo clippy -p tests --test differential -- -D warnings
	cargo clippy -p tests --features mutants --test matrix -- -D warnings
	cargo clippy -p tests --test beside_flux_upstream --bench beside_flux -- -D warnings

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

# On a machine that does nothing else: N applications, 300 when nothing is said.
bench-flux: install-tools ## Measure Coracle beside Flux on upstream's own Kubernetes (N=300 applications)
	@$(CONTROL_PLANE) && $(FLUX) && set -x && \
	cargo build --release -p coracle && \
	cargo bench -p tests --bench beside_flux -- $(N)

kustomize:
	@.ci/tools kustomize $(KUSTOMIZE_VERSION) "$(TOOLS)"

BUILT = $(or $(CARGO_TARGET_DIR),target)/release/kustomize-rs

kustomize-diff: kustomize ## Compare kustomize-rs with kustomize on random documents and trees
	@.ci/tools python3
	cargo build -q --release -p kustomize-rs
	KUSTOMIZE="$(TOOLS)/bin/kustomize" KUSTOMIZE_RS="$(BUILT)" \
	  python3 kustomize-rs/tests/fuzz.py yaml $(DIFFERENTIAL_CASES)x $(or $(TMPDIR),/tmp)/kustomize-differs $(DIFFERENTIAL_SEED)
	KUSTOMIZE="$(TOOLS)/bin/kustomize" KUSTOMIZE_RS="$(BUILT)" \
	  python3 kustomize-rs/tests/fuzz.py trees $(DIFFERENTIAL_CASES)x $(or $(TMPDIR),/tmp)/kustomize-differs $(DIFFERENTIAL_SEED)
	KUSTOMIZE="$(TOOLS)/bin/kustomize" KUSTOMIZE_RS="$(BUILT)" \
	  python3 kustomize-rs/tests/fuzz.py deep $(DIFFERENTIAL_CASES)x $(or $(TMPDIR),/tmp)/kustomize-differs $(DIFFERENTIAL_SEED)

# Where people's kustomizations and manifests are looked for.
REAL ?= $(or $(shell go env GOMODCACHE 2>/dev/null),$(HOME)/go/pkg/mod)

kustomize-real: kustomize ## Compare kustomize-rs with kustomize on what people wrote (REAL="FOLDER...")
	@.ci/tools python3
	cargo build -q --release -p kustomize-rs
	KUSTOMIZE="$(TOOLS)/bin/kustomize" KUSTOMIZE_RS="$(BUILT)" \
	  python3 kustomize-rs/tests/real.py $(or $(TMPDIR),/tmp)/kustomize-differs $(REAL)

kustomize-goldens: kustomize ## Write the goldens of kustomize-rs again with kustomize
	KUSTOMIZE="$(TOOLS)/bin/kustomize" sh kustomize-rs/tests/make-goldens.sh

kustomize-bench: kustomize ## Measure kustomize-rs against kustomize and print a table
	@.ci/tools hyperfine
	@.ci/tools time
	@.ci/tools python3
	cargo build -q --profile dist -p kustomize-rs
	KUSTOMIZE="$(TOOLS)/bin/kustomize" KUSTOMIZE_RS="$(or $(CARGO_TARGET_DIR),target)/dist/kustomize-rs" \
	  python3 kustomize-rs/tests/bench.py

install-tools: ## Install the programs that the tests run, where they are missing
	@.ci/tools git
	@.ci/tools sshd
	@.ci/tools kubectl

ci: lint test mutants kustomize-diff docs deny generated-check ## Everything that has to pass before a merge
	$(MAKE) --no-print-directory demo ARGS=--once
