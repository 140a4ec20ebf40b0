# What the README names. Each target installs what it needs; nothing is written outside this folder.

# A nats-server that `make tools` installed comes before an older one on PATH.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

FILE ?= examples/integrations.yaml
CARGO ?= cargo
# Scenarios of the whole program that are also run with its database in PostgreSQL: those that read or write it.
# Of the whole workspace, whose dependencies are built with these features already.
ON_POSTGRES = --workspace --test e2e -- configuration:: deliveries:: drafts:: drift:: erasure:: history:: keys:: \
    master_key:: openapi:: secrets:: stats:: trace:: --skip generated::

# A provider's name, for live-test.
PROVIDER ?=

# The runner of the tests, with two threads for each processor.
NEXTEST = nextest run --locked --profile shared --test-threads $$((2 * $$(getconf _NPROCESSORS_ONLN)))

.PHONY: up test live-test check bench soak fmt lint doc deny tools server compose

# A running system on this machine, with the integrations of FILE. Targets on this machine are
# private addresses, which are refused unless they are allowed.
up: export SIGNALBOX_EGRESS__ALLOW ?= 127.0.0.0/8
up: server
	$(CARGO) build --release --locked --bin signalbox
	target/release/signalbox up -f $(FILE)

# Everything that can be shown in minutes.
test: tools
	@# Programs and tests at once: alone, the programs would be built with other features of their dependencies.
	$(CARGO) build --workspace --bins --tests --locked
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) $(NEXTEST) --workspace && \
	    SIGNALBOX_E2E_STORE=postgres $(CARGO) $(NEXTEST) $(ON_POSTGRES) && \
	    $(CARGO) test --workspace --doc --locked; \
	else \
	    $(CARGO) test --workspace --locked && SIGNALBOX_E2E_STORE=postgres $(CARGO) test --locked $(ON_POSTGRES); \
	fi

# The conformance events against a real vendor, never in CI: config and credentials as JSON in SIGNALBOX_LIVE_CONFIG and
# SIGNALBOX_LIVE_CREDENTIALS; where the vendor runs in a network of one's own, its ranges in SIGNALBOX_LIVE_ALLOW, parted by commas.
live-test:
	@test -n "$(PROVIDER)" || { echo "usage: make live-test PROVIDER=slack"; exit 2; }
	@SIGNALBOX_LIVE_PROVIDER="$(PROVIDER)" $(CARGO) test --locked --package signalbox-providers --lib -- \
	    --ignored --nocapture conformance::live

# What a change has to pass.
check: lint doc deny test

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

# Licences, sources and double versions; known vulnerabilities where the database can be had.
deny:
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
	    echo "cargo-deny is not installed: licences and vulnerabilities are not checked"; \
	elif $(CARGO) deny fetch db >/dev/null 2>&1; then \
	    $(CARGO) deny check; \
	else \
	    echo "the database of vulnerabilities cannot be had: checking the rest"; \
	    $(CARGO) deny check bans licenses sources; \
	fi

# The whole path against the bare pipeline, interleaved: the figures of the README.
bench: server
	$(CARGO) build --release --locked --bin signalbox
	target/release/signalbox bench $(ARGS)

# The long form of the kill tests; each prints the seed that repeats it.
soak: tools
	$(CARGO) build --release --workspace --bins --tests --locked
	$(CARGO) test --release --locked --package signalbox-tests --test e2e -- --ignored soak --nocapture

fmt:
	$(CARGO) fmt --all

tools: server
	scripts/tools python

server:
	scripts/tools server

# One container for each role, as docker-compose.yml has them.
compose:
	scripts/compose up --build --wait
