# `make run` gives the tour, `make test` runs everything that is checked before a change lands.
#
# What is built, and why no more than this: one release build (the program as it ships: packaged, driven, killed and
# cut from power) and one dev build (lints, unit and integration tests). Cold on two cores each takes some four
# minutes; a third profile would cost as much again and find nothing new.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Stages share the machine's cores and cargo's lock: one after the other is also the fastest.
.NOTPARALLEL:

target := $(abspath $(or $(CARGO_TARGET_DIR),target))
stage := tests/system/stage.sh

# The program that the tests drive. Set BELFRY_BIN to test another than what is built here.
built := $(target)/release/belfry
override BELFRY_BIN := $(abspath $(or $(BELFRY_BIN),$(built)))
# Handed to the stages that need it and to nothing else: the program takes an unknown BELFRY_ variable for a mistake.
unexport BELFRY_BIN
ifeq ($(BELFRY_BIN),$(built))
build_bin := cargo build --release --locked --bin belfry
else
build_bin := test -x "$(BELFRY_BIN)"
endif

# What the stages that drive the program get; the tests' own Python comes first.
driven := BELFRY_BIN="$(BELFRY_BIN)"
tools := $(driven) PATH="$(CURDIR)/.venv/bin:$$PATH"

POWERCUT_ROUNDS ?= 3
stages := lint deny release unit it api-fuzz conformance real-mail deb-test powercut diskfull alertmanager browser

.PHONY: help run test setup fmt deb bench clean bin $(stages)

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: ## build and start the tour: a demo server with everything captured
	@cargo run --release --locked -- dev

test: ## install what is missing, then run every stage below
	@$(stage) setup $(MAKE) --no-print-directory setup
	@for one in $(stages); do $(driven) $(MAKE) --no-print-directory "$$one"; done
	@printf '\nall stages passed: %s\n' "$(stages)"

setup: ## install what the tests need and this machine lacks
	@tests/system/setup.sh

lint: ## formatting, clippy, the unit file
	@$(stage) lint bash -euc '\
		cargo fmt --all --check; \
		cargo clippy --locked --all-targets --quiet -- -D warnings; \
		tests/system/unit_file.sh'

deny: ## licences, banned crates and sources (advisories: see deny.toml)
	@PATH="$(CURDIR)/target/tools/bin:$$PATH" $(stage) deny \
		cargo deny --log-level error check licenses bans sources

release: ## build the program as it ships
	@$(stage) release $(build_bin)

# The same as a quiet prerequisite.
bin:
	@$(build_bin)

unit: ## unit and documentation tests
	@$(stage) unit bash -euc '\
		cargo test --locked --lib --bins; \
		cargo test --locked --doc'

it: bin ## integration tests, the ones over sockets and with kill -9 among them
	@$(tools) $(stage) it cargo test --locked --test '*'

conformance: ## the Autobahn suite against our WebSocket handshake and frames
	@$(stage) conformance tests/conformance/run.sh

api-fuzz: bin ## ask everything that the API's own description says can be asked
	@$(tools) $(stage) api-fuzz tests/system/api_fuzz.sh

real-mail: bin ## mail through a real Postfix into a real Dovecot, and what comes back
	@$(driven) $(stage) real-mail tests/system/real_mail.sh

stages += real-sms
.PHONY: real-sms
real-sms: bin ## texts through a real Kannel, and its reports
	@$(tools) PATH="$$PATH:/usr/sbin:/sbin" $(stage) real-sms python3 tests/system/real_sms.py

deb: bin ## build the Debian package into target/debian
	@$(driven) packaging/build-deb.sh "$(target)/debian"

deb-test: bin ## build the package, lint it, install it under a real systemd
	@$(driven) $(stage) deb-test bash -euo pipefail -c '\
		deb=$$(packaging/build-deb.sh "$(target)/debian" | tail -1); \
		lintian --allow-root --fail-on error "$$deb"; \
		tests/system/as_root.sh tests/system/deb_under_systemd.sh "$$deb"'

powercut: bin ## cut the power under the store POWERCUT_ROUNDS times
	@$(driven) $(stage) powercut tests/system/as_root.sh tests/system/powercut.sh $(POWERCUT_ROUNDS)

alertmanager: bin ## alerts of a real Alertmanager become notifications
	@$(driven) $(stage) alertmanager tests/system/alertmanager.py

diskfull: bin ## fill the disk under the store and free it again
	@$(driven) $(stage) diskfull tests/system/as_root.sh tests/system/diskfull.py

browser: bin ## see a notification arrive in a real browser
	@$(tools) $(stage) browser bash -euc '\
		shopt -s nullglob; tests=(tests/browser/*.mjs); \
		[ $${#tests[@]} -gt 0 ] || { echo "no tests/browser/*.mjs to run" >&2; exit 1; }; \
		node --test "$${tests[@]}"'

bench: ## measure
	@cargo bench --locked

fmt: ## format the source
	@cargo fmt --all

clean: ## remove what was built and installed here
	@cargo clean
	@rm -rf .venv tests/node_modules
