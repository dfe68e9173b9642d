# Pagerelay. `make help` lists the targets; the README names the two that a new
# machine needs: `make run` and `make test`.

GO ?= go

# The Alertmanager that tests and the demonstration run: the newest that `go install`
# builds. Tests that depend on what Alertmanager does run on the older one, too.
# internal/lab/native holds what is newer than both.
ALERTMANAGER_VERSION := 0.31.1
ALERTMANAGER_OLDER_VERSION := 0.28.1

# What `make build` builds, and where to.
PROGRAMS := ./cmd/...
OUT := bin/

# How long `make fuzz` gives each target.
FUZZTIME ?= 20s

# More flags for `make bench-storm`, such as --scenario=at-once or --only=pagerelay.
STORM ?=

# The folder of PagerDuty's OpenAPI files for `make conformance`.
SPEC ?=

TOOLS := $(CURDIR)/.tools
export ALERTMANAGER_BIN := $(TOOLS)/bin/alertmanager
export ALERTMANAGER_OLDER_BIN := $(TOOLS)/older/alertmanager
export AMTOOL_BIN := $(TOOLS)/bin/amtool

# What the binaries say of themselves. Outside a git checkout: unknown. The date is
# the commit's, so that the same commit always gives the same binary.
VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
REVISION := $(or $(shell git rev-parse HEAD 2>/dev/null),unknown)
BRANCH := $(or $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null),unknown)
DATE := $(or $(shell git log -1 --format=%cI 2>/dev/null),unknown)
PKG := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(PKG).Version=$(VERSION) -X $(PKG).Revision=$(REVISION) \
	-X $(PKG).Branch=$(BRANCH) -X $(PKG).BuildDate=$(DATE)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/pagerelay and bin/pagerduty-emulator, static and stripped
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(OUT) $(PROGRAMS)

.PHONY: run
run: build alertmanager ## show it working with a real Alertmanager (KEEP=1 leaves it running)
	@# Not with go run: a signal to make would end that alone, and leave the rest running.
	$(GO) build -o $(OUT)demo ./internal/lab/demo
	@exec $(OUT)demo --pagerelay=$(OUT)pagerelay --emulator=$(OUT)pagerduty-emulator \
		--alertmanager=$(ALERTMANAGER_BIN) --amtool=$(AMTOOL_BIN) $(if $(KEEP),--keep)

# Tests that measure time or memory run alone, one package after the other.
MEASURED := ^Test(OverloadOf|SixHoursOfOutage|AnHourOfTrouble|ReconcileIsQuick)

# The race detector needs a C compiler that finds its headers.
.PHONY: test
test: try-alertmanager ## run all tests, with the race detector where there is a C compiler
	@cgo=1 race=-race; \
	if ! echo '#include <stdlib.h>' | $$($(GO) env CC) -x c -E - >/dev/null 2>&1; then \
		echo ">> no C compiler found: testing WITHOUT the race detector"; \
		if [ -n "$$PAGERELAY_REQUIRE_RACE" ]; then exit 1; fi; \
		cgo=0 race=; \
	fi; \
	set -ex; \
	CGO_ENABLED=$$cgo $(GO) test $$race -shuffle=on -timeout=30m -skip '$(MEASURED)' ./...; \
	$(GO) test -p 1 -timeout=30m -run '$(MEASURED)' ./internal/lab/e2e ./internal/delivery ./internal/alertmanager

.PHONY: lint
lint: $(TOOLS)/golangci-lint tidy-check ## check format, architecture and style
	$(TOOLS)/bin/golangci-lint fmt --diff
	$(TOOLS)/bin/golangci-lint run

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## format the Go files, tidy the go.mod files
	$(TOOLS)/bin/golangci-lint fmt
	$(GO) mod tidy
	$(GO) -C internal/tools mod tidy

.PHONY: tidy-check
tidy-check:
	$(GO) mod tidy -diff
	$(GO) -C internal/tools mod tidy -diff

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (20s)
	internal/lab/fuzz/run.sh $(FUZZTIME)

.PHONY: bench
bench: build ## measure
	$(GO) test -run '^$$' -bench . -benchmem ./...
	@$(GO) run ./internal/lab/bench --pagerelay=bin/pagerelay

.PHONY: mutants
mutants: ## break one promise after the other, and see its test fail (2 minutes)
	$(GO) run ./internal/lab/mutants

.PHONY: bench-storm
bench-storm: build alertmanager ## measure an alert storm, beside Alertmanager's own notifier (17 minutes)
	$(GO) run ./internal/lab/storm --pagerelay=bin/pagerelay --alertmanager=$(ALERTMANAGER_BIN) $(STORM)

.PHONY: conformance
conformance: ## hold requests and emulator against PagerDuty's OpenAPI files (SPEC=folder)
	internal/tools/conformance.sh "$(SPEC)"

.PHONY: image
image: ## build the root file system of the container image into bin/rootfs
	rm -rf bin/rootfs
	internal/lab/image/build.sh bin/rootfs
	@find bin/rootfs -printf '%M %9s /%P\n'

.PHONY: check
check: lint build test ## what must pass before a change is merged

# A stamp a tool and version: a new version is fetched, a present one is not.
.PHONY: alertmanager
alertmanager: $(TOOLS)/alertmanager-$(ALERTMANAGER_VERSION)

$(TOOLS)/alertmanager-$(ALERTMANAGER_VERSION):
	@mkdir -p $(TOOLS)/bin
	@GOBIN=$(TOOLS)/bin CGO_ENABLED=0 GOFLAGS= internal/tools/install.sh "Alertmanager $(ALERTMANAGER_VERSION) and amtool" \
		$(GO) install -v -trimpath -ldflags '-s -w -X $(PKG).Version=$(ALERTMANAGER_VERSION)' \
		github.com/prometheus/alertmanager/cmd/alertmanager@v$(ALERTMANAGER_VERSION) \
		github.com/prometheus/alertmanager/cmd/amtool@v$(ALERTMANAGER_VERSION)
	@touch $@

.PHONY: alertmanager-older
alertmanager-older: $(TOOLS)/alertmanager-older-$(ALERTMANAGER_OLDER_VERSION)

$(TOOLS)/alertmanager-older-$(ALERTMANAGER_OLDER_VERSION):
	@mkdir -p $(TOOLS)/older
	@GOBIN=$(TOOLS)/older CGO_ENABLED=0 GOFLAGS= internal/tools/install.sh "Alertmanager $(ALERTMANAGER_OLDER_VERSION)" \
		$(GO) install -v -trimpath -ldflags '-s -w -X $(PKG).Version=$(ALERTMANAGER_OLDER_VERSION)' \
		github.com/prometheus/alertmanager/cmd/alertmanager@v$(ALERTMANAGER_OLDER_VERSION)
	@touch $@

# Tests skip what needs Alertmanager where it cannot be had; CI requires it.
.PHONY: try-alertmanager
try-alertmanager:
	@$(MAKE) --no-print-directory alertmanager alertmanager-older || { \
		echo ">> Alertmanager could not be built (offline?): the tests that need it are skipped"; \
		[ "$$PAGERELAY_REQUIRE_ALERTMANAGER" != 1 ]; }

$(TOOLS)/golangci-lint: internal/tools/go.mod
	@mkdir -p $(TOOLS)/bin
	@CGO_ENABLED=0 internal/tools/install.sh golangci-lint \
		$(GO) -C internal/tools build -v -trimpath -o $(TOOLS)/bin/golangci-lint \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@
