# The commands of this project; `make` alone lists them. Each installs what it needs and says so.

.DEFAULT_GOAL := help
SECONDS ?= 600
.PHONY: help serve test lint bench faults kills hostile mutations schemathesis fuzz

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

serve: ## build, make an installation when there is none, and serve on loopback until Ctrl-C
	@packaging/need build
	cargo run --locked --bin gatehouse -- serve --init

test: ## run every test that proves something in minutes
	@packaging/need test
	cargo test --workspace --locked --lib --bins --tests --examples
	cargo test --workspace --locked --doc

lint: ## formatting, clippy, licences and sources, documentation, shell scripts, service and container files
	@packaging/need lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	PATH="$$PWD/target/tools/bin:$$PATH" cargo deny --locked --log-level error check licenses bans sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	shellcheck .ci/run packaging/need packaging/fuzz packaging/lint packaging/schemathesis
	@packaging/lint

bench: ## every benchmark, each beside a floor or a peer of the same run
	@packaging/need bench
	cargo bench --locked

faults: ## what the store survives, in full: power loss, kill -9, full and failing disks, flipped bits, on both engines
	@packaging/need test
	cargo run --release --locked -p gatehouse-testkit --bin store-faults -- --full

kills: ## a factory batch and the authority, killed at a thousand moments each; the batch without power at as many
	@packaging/need test
	GATEHOUSE_KILLS=1000 GATEHOUSE_CUTS=1000 cargo test --locked --test it -- --nocapture factory_kill factory_power what_was_answered

hostile: ## the program's device ports under fire for minutes: a million hellos, broken handshakes, crowds, noise, rogue devices
	@packaging/need test
	cargo test --release --locked --test hostile -- --full

mutations: ## takes security decisions away, one at a time, and sees whether the tests notice; goes on where it was interrupted
	@packaging/need test
	cargo run --locked --quiet -p gatehouse-testkit --bin mutations

schemathesis: ## requests made from the API's own document, by nobody and by somebody: no 5xx and no answer that it does not tell (EXAMPLES=20)
	@packaging/need schemathesis
	cargo build --locked --bin gatehouse
	@packaging/schemathesis

fuzz: ## ten minutes for each decoder, as many at once as there are processors (SECONDS=600)
	@packaging/need fuzz
	@PATH="$$PWD/target/tools/bin:$$PATH" packaging/fuzz $(SECONDS)
