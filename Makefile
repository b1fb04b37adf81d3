# What each target is for: CONTRIBUTING.md. Only Go is needed for run, build
# and test; scripts/install-deps.sh installs what the others need on Debian.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s
BENCH ?= short
BENCH_OUT ?= bench.out
RIG_FLAGS ?=

.PHONY: build run test test-all compat lint fuzz bench rig rig-long rig-kill generate

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/postroad ./cmd/postroad

# A shell that exec's: an interrupt or a kill reaches the server itself.
run: build
	@exec bin/postroad dev

test:
	go test ./...

# Everything, and nothing skipped: PostgreSQL, browser, SDKs, peers, -race.
test-all:
	scripts/with-postgres.sh env POSTROAD_TEST_PEERS=1 go test -race -timeout 20m -json ./... | go run ./scripts/testreport

# The official Go and Node clients against the program.
compat:
	POSTROAD_TEST_PEERS=1 go test -count=1 ./compat/...

lint:
	@files=$$(gofmt -l $$(find . -name '*.go' -not -path './.git/*' -not -path '*/node_modules/*')); \
	if [ -n "$$files" ]; then echo "not gofmt'ed:"; echo "$$files"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	scripts/vulncheck.sh

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# Beside Postfix, Haraka, OpenSMTPD and Exim, which need root. BENCH=long for medians.
bench: build
	go run ./bench all --binary bin/postroad --out $(BENCH_OUT) $(if $(filter long,$(BENCH)),--long)

# Whether promises are kept when things go wrong: docs/reliability.md. As root
# nothing is skipped. The table goes to rig.out as JSON lines.
rig: build
	go run ./rig --binary bin/postroad --out rig.out $(RIG_FLAGS)

rig-long: build
	go run ./rig --binary bin/postroad --out rig.out --long $(RIG_FLAGS)

# kill -9 under load alone: nothing acknowledged may be lost.
rig-kill: build
	go run ./rig --binary bin/postroad --only R1,R10,R11,R16 $(RIG_FLAGS)

generate:
	go generate ./...
