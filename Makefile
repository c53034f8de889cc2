# luasips: `make run` starts a proxy, `make test` shows that it works.

GO      ?= go
SCRIPT  ?= examples-lua/proxy.lua
# Debian packages that the interoperability tests talk to.
PEERS   := sip-tester sipsak kamailio kamailio-lua-modules iproute2
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FUZZTIME ?= 10s
# Seconds of load for the compiler's profile.
PGOTIME ?= 30

.PHONY: help run build test test-unit test-race test-interop vet generate check-generated deps bench soak pgo fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

run: build ## build and start the proxy with an example script (SCRIPT=...)
	./bin/luasips run -f $(SCRIPT)

build: ## build bin/luasips
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or later is needed: see go.dev/dl or your distribution"; exit 1; }
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/luasips ./cmd/luasips

test: vet check-generated test-unit test-race test-interop ## everything: what CI runs

test-unit: ## fast feedback, under a minute
	$(GO) test ./cmd/... ./engine/... ./luabind/... ./modules/... ./test/meta/...

test-race: ## the race detector on what is concurrent
	$(GO) test -race ./engine/... ./test/script/...

test-interop: build deps ## against SIPp, Kamailio and sipsak
	$(GO) test -count=1 -timeout 10m ./test/interop/... ./test/peers/... ./test/conformance/... ./test/script/... ./test/bench/...

vet: ## gofmt, go vet, staticcheck, govulncheck where it can run
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt would change: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	@GOBIN=$(CURDIR)/bin $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	@./bin/govulncheck ./... > bin/govulncheck.log 2>&1; code=$$?; \
	if [ $$code = 3 ]; then cat bin/govulncheck.log; exit 1; fi; \
	[ $$code = 0 ] || echo "govulncheck could not run (it needs its vulnerability database); going on"

generate: ## write what is generated from the declarations of modules and settings
	$(GO) run ./modules/gen
	$(GO) test ./luabind -run '^TestSettingsDoc$$' -update

check-generated: ## fail when generated files are stale
	$(GO) run ./modules/gen -check
	$(GO) test ./luabind -run '^TestSettingsDoc$$'

deps: ## install the Debian packages that the tests talk to
	@missing=""; for p in $(PEERS); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq $$missing; fi

soak: build deps ## long measurements: parking, overload, reload, slow peers
	$(GO) run ./test/soak $(SOAK)

bench: build deps ## CPU per call beside Kamailio and sipgo; results in test/bench/results
	$(GO) run ./test/bench $(BENCHFLAGS)

pgo: build deps ## take anew the profile that the compiler optimises for, cmd/luasips/default.pgo
	rm -rf bin/pgo && mkdir -p bin/pgo
	$(GO) run ./test/bench --servers luasips --reference luasips --profile --rates 3000 --rounds 1 --seconds $(PGOTIME) --out bin/pgo --name pgo
	$(GO) tool pprof -proto bin/pgo/*.pprof > bin/pgo/all
	@# Without the paths of this machine; the lengths in the file stay right.
	for d in "$(CURDIR)" "$$($(GO) env GOMODCACHE)"; do echo "s|$$d|$$(echo "$$d" | sed 's/./_/g')|g"; done > bin/pgo/paths.sed
	gunzip -c bin/pgo/all | LC_ALL=C sed -f bin/pgo/paths.sed | gzip -9n > cmd/luasips/default.pgo

fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for d in $$($(GO) list -f '{{.Dir}}' ./...); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$d/*_test.go 2>/dev/null | awk '{print $$2}'); do \
	    echo "== $$f in $$d"; (cd $$d && $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) .); done; done

clean: ## remove what was built
	rm -rf bin
