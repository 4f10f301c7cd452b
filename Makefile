# Everything here is a short name for a command that also works by hand.
# Building and testing need only Go; lint and generate need the tools that `make tools` installs into .tools/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOLS := $(CURDIR)/.tools
BIN   := $(TOOLS)/bin

# One line per tool: the name of its binary, where it comes from, its version.
buf_module                := github.com/bufbuild/buf/cmd/buf
buf_version               := v1.75.0
protoc-gen-go_module      := google.golang.org/protobuf/cmd/protoc-gen-go
protoc-gen-go_version     := v1.36.12
protoc-gen-go-grpc_module := google.golang.org/grpc/cmd/protoc-gen-go-grpc
protoc-gen-go-grpc_version := v1.6.2
golangci-lint_module      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
golangci-lint_version     := v2.15.0
gofumpt_module            := mvdan.cc/gofumpt
gofumpt_version           := v0.12.0

# A stamp names a tool and its version, so that a new version here is installed and an old one is not built again.
stamp = $(TOOLS)/stamps/$(1)-$($(1)_version)
BUF           := $(call stamp,buf)
PROTOC_GEN    := $(call stamp,protoc-gen-go) $(call stamp,protoc-gen-go-grpc)
GOLANGCI_LINT := $(call stamp,golangci-lint)
GOFUMPT       := $(call stamp,gofumpt)

define install_tool
$(call stamp,$(1)):
	@if ! go version -m $(BIN)/$(1) 2>/dev/null | grep -qE '^\smod\s.*\s$($(1)_version)(\s|$$$$)'; then \
		echo "installing $(1) $($(1)_version)"; \
		GOBIN=$(BIN) GOFLAGS= go install $($(1)_module)@$($(1)_version); \
	fi
	@mkdir -p $(TOOLS)/stamps && rm -f $(TOOLS)/stamps/$(1)-v* && touch $$@
endef
$(foreach tool,buf protoc-gen-go protoc-gen-go-grpc golangci-lint gofumpt,$(eval $(call install_tool,$(tool))))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/callboard, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/callboard ./cmd/callboard

.PHONY: cluster
cluster: build ## Start three local nodes in .cluster/, in the background (again: those that do not run); TLS=1: with certificates
	scripts/cluster up

.PHONY: cluster-down
cluster-down: ## End the three local nodes; their data stays in .cluster/
	scripts/cluster down

.PHONY: test
test: ## Run every test
	go test ./...

.PHONY: race
race: ## Run every test under the race detector (needs a C compiler)
	go test -race ./...

.PHONY: bench
bench: bench-tools ## Measure real processes beside etcd (10 to 20 minutes) and rewrite docs/benchmarks.md
	bin/bench -out docs/benchmarks.md

.PHONY: bench-quick
bench-quick: bench-tools ## The same, small and once (2 minutes), printed; `bin/bench -run CASE` for one case
	bin/bench -quick

.PHONY: bench-tools
bench-tools: build ## Build what make bench needs into bin/: the bench, etcd's server and its loop of puts
	CGO_ENABLED=0 go build -trimpath -o bin/bench ./bench
	cd bench/etcd && CGO_ENABLED=0 go build -trimpath -o ../../bin/etcd go.etcd.io/etcd/server/v3
	cd bench/etcd && CGO_ENABLED=0 go build -trimpath -o ../../bin/etcd-put .

.PHONY: bench-failover
bench-failover: ## Kill the leader of three real nodes 20 times under writes, end each node 3 times, load them: figures (5 minutes)
	CALLBOARD_FAILOVERS=$${CALLBOARD_FAILOVERS:-20} go test ./jepsen/real -run '^TestFailoverFigures$$' -count=1 -v -timeout 60m

.PHONY: bench-rollout
bench-rollout: ## Move 2 000 actors to a newer version with real processes, the leader killed twice, then without a limit (3 minutes)
	CALLBOARD_ROLLOUT_ACTORS=$${CALLBOARD_ROLLOUT_ACTORS:-2000} CALLBOARD_JEPSEN_STRICT=1 go test ./jepsen/real -run '^TestRollout$$' -count=1 -v -timeout 30m

.PHONY: bench-go
bench-go: ## Run the Go benchmarks (compare within one run; machines differ)
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: mutants
mutants: ## Take each guard of liveness and of the pace out, one by one: its tests must fail (15 minutes)
	CALLBOARD_MUTANTS=all go test . -run '^TestMutantsAreCaught$$' -v -count=1 -timeout 90m

.PHONY: damage
damage: ## Damage the directories of nodes, 500 bits and each kind in every order of starts: refused by name or served whole (15 minutes)
	CALLBOARD_DAMAGE=$${CALLBOARD_DAMAGE:-500} go test ./jepsen/real -run '^(TestADamagedNodeServesAllOrNothing|TestDamagedNodesOfThreeServeAllOrNothing)$$' -v -count=1 -timeout 60m

.PHONY: serverless
serverless: ## The long forms of what serverless pools promise, with real processes: 200 actors in functions of 20 s, an endpoint that is away for a minute (4 minutes)
	CALLBOARD_SERVERLESS_LONG=1 CALLBOARD_JEPSEN_STRICT=1 go test ./jepsen/real -run '^TestServerless' -v -count=1 -timeout 30m

.PHONY: record
record: ## Record logs of this build that later ones must replay alike: make record NAME=2026-11-30 (see scheduler/recorded_test.go)
	go test ./scheduler -run '^TestRecordLogs$$' -count=1 -record '$(NAME)'

.PHONY: bench-runners
bench-runners: ## Measure what 10 000 runners cost three real nodes (minutes; a quiet machine; ulimit -n 11000)
	CALLBOARD_CROWD=10000 CALLBOARD_JEPSEN_STRICT=1 go test ./jepsen/real -run '^TestTenThousandRunners$$' -v -count=1 -timeout 30m

.PHONY: lint
lint: $(GOLANGCI_LINT) $(BUF) ## Check style and likely mistakes, in Go and in the protos
	$(BIN)/golangci-lint run
	$(BIN)/buf lint

.PHONY: fmt
fmt: $(GOFUMPT) $(BUF) ## Format Go files and protos
	git ls-files --cached --others --exclude-standard '*.go' ':!*.pb.go' | xargs $(BIN)/gofumpt -w
	$(BIN)/buf format -w

.PHONY: generate
generate: $(BUF) $(PROTOC_GEN) ## Generate Go from proto/
	$(BIN)/buf generate

# Generates beside the tree and compares, so that it neither needs a clean checkout nor touches one.
.PHONY: check-generated
check-generated: $(BUF) $(PROTOC_GEN) ## Fail if the checked-in generated code is not what `make generate` makes
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(BIN)/buf generate -o "$$dir/fresh"; \
	mkdir "$$dir/checked-in"; \
	find proto -name '*.pb.go' -print0 | tar -c --null -T - -f - | tar -x -C "$$dir/checked-in" -f -; \
	if ! diff -r "$$dir/checked-in/proto" "$$dir/fresh/proto"; then \
		echo 'generated code is not current: run `make generate` and commit the result' >&2; exit 1; \
	fi

.PHONY: tools
tools: $(BUF) $(PROTOC_GEN) $(GOLANGCI_LINT) $(GOFUMPT) ## Install the tools for lint and generate into .tools/ (minutes, once)
