# The two commands of the README: make quickstart, make test.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
VERSION     ?= $(shell git describe --tags --always 2>/dev/null || echo development)
LDFLAGS     := -s -w -X main.version=$(VERSION)
TARGETS     := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
FUZZTIME    ?= 30s
SOAK        ?= 10m
IMAGE       ?= $(CURDIR)/bin/image
CREATED     ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: build build-pkcs11 pkcs11 postgres quickstart test vet unit cross image packaging chart compat bench soak fuzz vuln clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/coffer ./cmd/coffer

# With seals on hardware tokens: needs a C compiler, and the token's library when it runs.
build-pkcs11:
	CGO_ENABLED=1 $(GO) build -tags pkcs11 -trimpath -ldflags "$(LDFLAGS)" -o bin/coffer ./cmd/coffer

# The seal on a token, with SoftHSM2, which is installed into .cache/ from Debian's archive.
pkcs11:
	@command -v apt-get >/dev/null || { echo "skipped: the seal on a token needs Debian's archive"; test -z "$$CI"; }
	@command -v apt-get >/dev/null && test/debian .cache/softhsm softhsm2 libsofthsm2 softhsm2-common && \
	COFFER_SOFTHSM=$(CURDIR)/.cache/softhsm CGO_ENABLED=1 $(GO) test -count=1 -tags pkcs11 ./internal/seal/pkcs11

# A container image, as an OCI image layout. The same source and the same Go make the same digest anywhere.
image:
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS= $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o bin/linux-$$arch/coffer ./cmd/coffer || exit 1; \
	done
	@$(GO) -C deploy/image run . -out "$(IMAGE)" -version "$(VERSION)" -created "$(CREATED)" \
		-amd64 $(CURDIR)/bin/linux-amd64/coffer -arm64 $(CURDIR)/bin/linux-arm64/coffer

# What is installed otherwise than by hand: the container image.
packaging:
	$(GO) -C deploy/image vet ./...
	$(GO) -C deploy/image mod tidy -diff
	$(GO) -C deploy/image test -count=1 ./...

# The Helm chart: helm lint, the schemas of Kubernetes, and a server with the configuration that it renders. The
# first build of helm takes minutes.
chart:
	$(GO) -C deploy/helm vet ./...
	$(GO) -C deploy/helm mod tidy -diff
	$(GO) -C deploy/helm test -count=1 -timeout 40m ./...

# Runs a program that was written for Azure Key Vault, unchanged, in a private vault.
quickstart: build
	CGO_ENABLED=0 $(GO) -C examples/quickstart build -trimpath -o ../../bin/quickstart .
	KEY_VAULT_NAME=quickstart bin/coffer run -- bin/quickstart demo-certificate

# PostgreSQL from Debian's archive, unpacked into .cache/, for the tests of the store in a
# database, which start servers of their own. One that is installed is taken before.
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
		command -v apt-get >/dev/null || { echo "skipped: PostgreSQL needs Debian's archive"; test -z "$$CI"; }; \
		! command -v apt-get >/dev/null || test/debian .cache/postgres $$(apt-cache depends postgresql | grep -oE 'postgresql-[0-9]+' | sed 'p;s/-/-client-/'); }

# Everything: static checks, unit tests with the race detector, builds for all systems,
# and other people's clients.
test: vet postgres unit cross packaging pkcs11 compat

vet:
	test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff

unit:
	@mkdir -p .cache
	COFFER_POSTGRES=$(CURDIR)/.cache/postgres CGO_ENABLED=1 $(GO) test -race -timeout 30m -json ./... > .cache/unit.json || { $(GO) run ./test/conformance -v docs/conformance.md .cache/unit.json; exit 1; }
	$(GO) run ./test/conformance docs/conformance.md .cache/unit.json
	$(GO) test -run 'Dear|Bad' ./internal/dataplane # what a request may cost at most is measured without the detector
	CGO_ENABLED=1 $(GO) -C examples/quickstart test -race ./...

cross:
	@for target in $(TARGETS); do \
		echo "build $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -trimpath -o /dev/null ./cmd/coffer || exit 1; \
	done

# Other people's clients against the built binary. They are installed into .cache/.
compat: build
	$(GO) -C test/compat vet ./...
	$(GO) -C test/compat test -count=1 -timeout 60m -v ./...

bench: build
	$(GO) -C bench run .

# 64 clients for SOAK against the built binary; other faults are in the suite of make compat.
soak:
	$(GO) -C test/compat test -count=1 -timeout 60m -v ./faults -run '^TestSoak$$' -soak $(SOAK)

# Every fuzz target, each for FUZZTIME.
fuzz:
	@grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed 's/^func //' | sort -u); do \
			echo "fuzz $$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$dir || exit 1; \
		done; \
	done

# Needs the vulnerability database on the network.
vuln:
	$(GO) run $(GOVULNCHECK) ./...

clean:
	rm -rf bin .cache
