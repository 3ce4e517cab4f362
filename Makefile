# Two commands set up everything on a Debian machine with Go: make demo, make test.

GO      ?= go
# All is compiled once: what is tested is compiled as it is delivered.
export CGO_ENABLED := 0
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath
TARGETS := arm-6 arm-7 arm64 amd64
# A nodejs that is not Debian's brings npm itself, and does not bear Debian's beside it.
DEBS    := mosquitto postgresql nodejs python3 qemu-user-static gcc libc6-dev man-db openssl systemd dpkg-dev swtpm chromium $(if $(shell command -v npm),,npm)
# What installs the packages in a Debian of their own.
PACKAGEDEBS := debootstrap systemd-container lintian qemu-user-static
# What the emulated board needs.
BOARDDEBS := qemu-system-arm device-tree-compiler xz-utils e2fsprogs dosfstools exfatprogs mtools mosquitto swtpm
BUILD   := GOOS=linux $(GO) build -trimpath -buildvcs=false -ldflags='-s -w -buildid='
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
# Packages that run on the device: their tests also run as ARM programs. Those of
# the agent take longest, so they begin.
DEVICE  := $(shell $(GO) list ./agent/... ./uplink/... ./sensor/... ./capture/... | grep -v test)

.PHONY: help demo test browser s3 pictures check bench programs build packages packages-test packages-short accuracy board board-soak board-short board-device board-figures deps package-deps board-deps vet race cross reproducible arm arm-short clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a whole roadside in one process: prints the address of a page to open
	@echo "Compiling. The first time takes some minutes, most of them for the database, modernc.org/sqlite; each package is named as it is compiled."
	@$(GO) build -v -o bin/ ./portal/cmd/ciglio-demo
	@echo "Compiled. The landscape is painted, then the road begins."
	@bin/ciglio-demo

test: deps browser s3 ## every test; as root or with sudo it installs the Debian packages they need
	$(GO) test $(TESTED)
	CIGLIO_STORES=servers $(GO) test $(SERVED)
	$(GO) test -count=1 $(BUILT)
	$(GO) -C cross/reference test ./...
# Those of cross, but for the simulated world, compile the program anew, of which
# Go's store of results knows nothing.
BUILT = $(shell $(GO) list ./cross/... | grep -v /cross/simulate)
# What also runs on PostgreSQL and an S3 store: portal/portaltest.
SERVED := ./portal/intake ./portal/web
TESTED = $(filter-out $(BUILT),$(shell $(GO) list ./...))

check: deps vet race cross reproducible arm-short packages-short board-device ## vet, staticcheck, formatting, races, cross-builds, dependency policy, the core's tests as ARM programs, the package in a Debian, the device on the board

bench: ## speed against the limit measured in the same run
	$(GO) test -run '^$$' -bench . -benchmem $(BENCHED)
	$(GO) -C cross/reference test -run '^$$' -bench .
BENCHED := ./sensor/doppler ./uplink/outbox ./cross/simulate/roadside

programs: ## the programs for this machine, in bin/: ciglio, ciglio-portal, ciglio-witness, ciglio-demo
	$(GO) build -o bin/ ./agent/cmd/ciglio ./portal/cmd/ciglio-portal ./portal/cmd/ciglio-witness ./portal/cmd/ciglio-demo

build: ## static, reproducible programs for every target, in dist/
	@for t in $(TARGETS); do $(MAKE) --no-print-directory dist/ciglio-linux-$$t || exit 1; done
	cd dist && sha256sum ciglio-linux-* | tee SHA256SUMS && rm -f SHA256SUMS.sig

packages: build ## Debian packages with lists of their parts, in dist/; CIGLIO_SIGNING_KEY names the key that signs them
	rm -f dist/*.deb dist/*.cdx.json
	SOURCE_DATE_EPOCH=$(EPOCH) $(GO) run ./cross/deb -revision $(REVISION)
EPOCH    = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct))
REVISION = $(shell git log -1 --format=%h --abbrev=12)

packages-test: package-deps ## the packages installed, upgraded and removed in a Debian of each processor; the first time it downloads them
	CIGLIO_PACKAGES=all $(GO) test -count=1 -timeout 2h -v -run "LifeOfThePackage|Lintian" ./cross/deb

packages-short: package-deps
	CIGLIO_PACKAGES=short $(GO) test -count=1 -run LifeOfThePackage ./cross/deb

accuracy: ## rewrite docs/recordings.md and docs/accuracy.md: real passes, and 10,000 simulated ones (half an hour)
	$(GO) test ./sensor/doppler -run TestRecordings -update -v
	$(GO) run ./cross/simulate/accuracy -passages 10000 -docs docs

board: board-deps ## the device on an emulated ARM board; the first time it downloads Debian's kernel
	CIGLIO_BOARD=all $(GO) test -count=1 -p 1 -timeout 2h $(BOARDED)
	CIGLIO_BOARD=all $(GO) test -count=1 -timeout 2h $(POWERCUTS)

board-soak: board-deps ## the same for hours
	CIGLIO_BOARD=soak $(GO) test -count=1 -p 1 -timeout 24h $(BOARDED)
	CIGLIO_BOARD=soak $(GO) test -count=1 -timeout 24h $(POWERCUTS)

board-figures: board-deps ## make board, with the figures of docs/board.md written anew
	CIGLIO_BOARD=all $(GO) test -count=1 -p 1 -timeout 2h $(FIGURED) -update
	$(GO) test -count=1 ./cross/simulate/roadside -run HourOfTraffic -update
	CIGLIO_BOARD=all $(GO) test -count=1 -timeout 2h $(POWERCUTS) -update
FIGURED := ./cross/board ./cross/budget ./cross/budget/large

board-short: board-deps ## a short run of all of it (ten minutes)
	CIGLIO_BOARD=short $(GO) test -count=1 -p 1 $(BOARDED)
	CIGLIO_BOARD=short $(GO) test -count=1 $(POWERCUTS)
# The device from its start to a verified bundle on Debian's kernel: what make check runs.
board-device: board-deps
	CIGLIO_BOARD=short $(GO) test -count=1 ./cross/board/device
BOARDED := ./cross/board/... ./cross/budget/...
# The device with its centre, whose plug is pulled: docs/power-cuts.md.
POWERCUTS := -v -run PowerCuts ./cross/simulate/roadside

dist/ciglio-linux-%: FORCE
	@mkdir -p dist
	GOARCH=$(firstword $(subst -, ,$*)) GOARM=$(or $(word 2,$(subst -, ,$*)),7) $(BUILD) -o $@ ./agent/cmd/ciglio
FORCE:

deps:
	$(call install,$(DEBS))

# What looks at pages in a browser: cross/browser.
BROWSER := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ciglio/browser-$(shell sha256sum cross/browser/package-lock.json | cut -c1-12)
pictures: browser ## draw the pictures of docs/technician.md anew
	CIGLIO_SCREENSHOTS=$(CURDIR)/docs/technician $(GO) test -count=1 -run TestPicturesOfTheConsole ./agent/console

browser: deps ## fetch what tests of pages need beside Chromium, into the user's cache
	@[ -d $(BROWSER)/node_modules/playwright-core ] || { mkdir -p $(BROWSER) && cp cross/browser/package.json cross/browser/package-lock.json $(BROWSER)/ && \
	  npm ci --prefix $(BROWSER) --ignore-scripts --no-audit --no-fund --loglevel=error; } || echo "not fetched: tests of pages are skipped"

# The S3 store of tests: portal/blob/blobtest.
S3 := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ciglio/versitygw-v1.8.0
s3: ## build the S3 store that tests use, into the user's cache: once, some minutes
	@[ -x $(S3)/versitygw ] || { mkdir -p $(S3) && GOBIN=$(S3) nice $(GO) install github.com/versity/versitygw/cmd/versitygw@v1.8.0; } || echo "not built: tests of the S3 store are skipped"

package-deps:
	$(call install,$(PACKAGEDEBS))

board-deps:
	$(call install,$(BOARDDEBS))

install = @missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as=sudo; else \
	  echo "not installed: $$missing"; echo "run make as root or with sudo, or install them; tests that need them are skipped"; exit 0; fi; \
	$$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing

vet:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod verify
	$(GO) -C cross/tools mod verify
	$(GO) -C cross/reference vet ./...
	$(GO) test -count=1 . ./docs/...

# Where goroutines meet.
race:
	CGO_ENABLED=1 $(GO) test -race -short ./sensor/port ./sensor/framing ./sensor/track ./sensor/gate ./sensor/isys4001 ./agent ./agent/device ./capture ./capture/httpcam ./capture/v4l2 ./uplink/... ./portal/broker ./portal/database ./portal/intake ./portal/log/sequencer ./portal/web

# cross/budget holds how large they may be.
cross: build
	GOOS=linux GOARCH=386 $(GO) vet $(DEVICE)

# The same source in another folder, compiled anew, gives the same bytes.
reproducible: packages
	@tmp=$$(mktemp -d); trap 'chmod -R u+w "$$tmp"; rm -rf "$$tmp"' EXIT; \
	git ls-files -z | tar --null --files-from=- -c | tar -x -C $$tmp; \
	GOCACHE=$$tmp/cache $(MAKE) --no-print-directory -C $$tmp dist/ciglio-linux-arm-7 >/dev/null && \
	$(MAKE) --no-print-directory -C $$tmp dist/ciglio-linux-$(HOST) >/dev/null && \
	(cd $$tmp && SOURCE_DATE_EPOCH=$(EPOCH) $(GO) run ./cross/deb -revision $(REVISION) -arch armhf) >/dev/null && \
	for f in ciglio-linux-arm-7 $$(cd $$tmp/dist && ls *.deb *.cdx.json); do cmp dist/$$f $$tmp/dist/$$f || exit 1; echo "reproducible: $$f, the same bytes from another folder"; done
# The program that runs here prints what goes into the packages.
HOST = $(patsubst arm,arm-7,$(shell $(GO) env GOHOSTARCH))

# The measuring core and what is stored and sent. With 64 bits a product and a sum may be
# one instruction, which rounds once: there all of it but the watches of life and aim. With
# 32 bits numbers are smaller, and the Doppler chain, which only computes with floating
# point, is left to make arm as well.
ARMED = $(filter-out %/aim %/life %/plot,$(filter %/enforce %/trust ciglio/capture% ciglio/sensor% ciglio/uplink%,$(DEVICE)))
arm-short:
	$(call emulated,arm,arm,$(filter-out ciglio/sensor/doppler%,$(ARMED)))
	$(call emulated,arm64,aarch64,$(ARMED))

arm: ## the tests of all that runs on the device as ARM programs
	$(call emulated,arm,arm,$(DEVICE))
	$(call emulated,arm64,aarch64,$(filter %/enforce %/trust ciglio/capture% ciglio/sensor% ciglio/uplink%,$(DEVICE)))
emulated = CIGLIO_EXEC='$(call qemu,$(2))' GOARCH=$(1) GOARM=7 $(GO) test -short -timeout 30m -exec '$(call qemu,$(2))' $(3) && \
	CIGLIO_EXEC='$(call qemu,$(2))' GOARCH=$(1) GOARM=7 $(GO) test -exec '$(call qemu,$(2))' -run 'OneSeed|Arith|Phase|Math' ./cross/simulate
qemu = $(or $(shell command -v qemu-$(1)-static),$(shell command -v qemu-$(1)),qemu-$(1)-static)

clean: ## remove what make has built
	rm -rf bin dist
