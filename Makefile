# Targets of flue; `make` alone lists them. Tools run by exact version through `go run`.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
DUCKDB      := duckdb==2.0.0

# Where the demo puts its snapshots and what it is run with.
FLUE_DATA ?= data
DEMO      ?=
# A folder for tests that want real data, and one of NDJSON files to measure with;
# may stay empty. The Go benchmarks take theirs from FLUE_TEST_DATA, as the tests do.
DATA      ?=
FUZZTIME  ?= 30s
SEEDS     ?= 20
SEED      ?=
CHAOS     ?=
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
GENERATED := internal/definition/r4.bin internal/definition/docs.bin docs/jobs.schema.json docs/configuration.md

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/flue
	CGO_ENABLED=0 $(GO) build -buildvcs=auto -trimpath -o bin/flue ./cmd/flue

.PHONY: demo
demo: build ## start a sandbox, authenticate, export and publish: the whole of flue in a minute
	FLUE_DATA=$(FLUE_DATA) bin/flue demo $(DEMO)

.PHONY: test
test: ## run the tests; DATA=DIR adds those that want real data
	FLUE_TEST_DATA=$(or $(DATA),$(FLUE_TEST_DATA)) $(GO) test -timeout 30m ./...

.PHONY: check
check: vet staticcheck format tidy generated race ## everything that must be clean before a commit

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: staticcheck
staticcheck:
	$(GO) run $(STATICCHECK) ./...

.PHONY: format
format:
	@unformatted=$$($(GO) run $(GOFUMPT) -l .) && \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofumpt:"; echo "$$unformatted"; exit 1; fi

.PHONY: tidy
tidy:
	$(GO) mod tidy -diff

# What is generated must be what the generators make of their sources. The R4
# definitions come with npm; without it they are taken as they are.
.PHONY: generated
generated:
	@before=$$(cksum $(GENERATED)) && \
	if command -v npm >/dev/null; then $(GO) generate ./...; \
	else echo "no npm: the R4 definitions are not rebuilt"; $(GO) generate ./pipeline/...; fi && \
	if [ "$$before" != "$$(cksum $(GENERATED))" ]; then echo "generated files were not current; they are now"; exit 1; fi

.PHONY: race
race:
	$(GO) test -race -short -timeout 30m ./...

.PHONY: bench
bench: build ## measure landing and converting beside curl and DuckDB, then the Go benchmarks; DATA=DIR takes your files
	$(GO) build -o bin/bench ./internal/bench
	@python3 -c 'import duckdb' 2>/dev/null || { python3 -m venv bin/venv && bin/venv/bin/pip install --quiet $(DUCKDB); }
	PATH="$(CURDIR)/bin/venv/bin:$$PATH" bin/bench -flue bin/flue -data "$(DATA)"
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 1s ./...

.PHONY: chaos
chaos: build ## the fault campaign: SEEDS seeds (20) of faults and kills against the real binary; SEED=n plays one
	$(GO) build -o bin/chaos ./internal/chaos
	bin/chaos -flue bin/flue $(if $(SEED),-seed $(SEED) -v,-seeds $(SEEDS)) $(CHAOS)

# Go makes each new input smaller for up to a minute unless it is told to try less:
# of inputs of a kilobyte it would do little else.
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$pkg; \
	  done; done

.PHONY: release
release: ## build static binaries for linux and darwin into dist/, with checksums
	rm -rf dist && mkdir dist
	@set -e; for platform in $(PLATFORMS); do \
	  out=dist/flue_$${platform%/*}_$${platform#*/}; echo "$$out"; \
	  CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -buildvcs=auto -trimpath -ldflags '-s -w' -o $$out ./cmd/flue; \
	done
	cd dist && if command -v sha256sum >/dev/null; then sha256sum flue_*; else shasum -a 256 flue_*; fi > SHA256SUMS
	@cat dist/SHA256SUMS

.PHONY: clean
clean: ## remove what the targets made
	rm -rf bin dist
