# Two commands for a newcomer: `make demo` and `make test`. Each does its own set-up.
.PHONY: image release demo test check mutants soak bench bench-api bench-broker bench-scale conformance report cluster-up cluster-down lint fmt clean help

help: ## Show the commands.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

demo: ## Manifests in, a request through a tunnel out, on this machine only. CHECK=1 makes the requests itself and exits, EDGE=broker goes through a broker.
	@tests/demo/run $(if $(CHECK),--check) $(if $(EDGE),--edge $(EDGE))

test: ## Every check, those on a true Kubernetes included; tests/run lists the steps and runs single ones.
	@tests/run

check: ## Format, lints and all unit tests: what to run after an edit.
	@tests/run format clippy unit

soak: ## More of the same: SIMULATION_STEPS steps of the simulation (100 million), BROKER_HISTORIES histories of two brokers (20,000), floods FLOOD times as large (4), 10,000 sessions, 200 edits of each field, endpoints that fail under 1,000 requests a second, 64 MiB through every filter and policy, a broker that ends at each of its writes, an outage of five minutes, twenty conformance runs, the images twice, and `mutants`.
	SIMULATION_STEPS=$${SIMULATION_STEPS:-100000000} cargo test --profile soak --workspace --test suite simulation -- --nocapture
	BROKER_HISTORIES=$${BROKER_HISTORIES:-20000} cargo test --profile soak --workspace --test simulation -- --nocapture
	FLOOD=$${FLOOD:-4} cargo test --workspace --test suite hostile::flood -- --nocapture --test-threads=1
	SESSIONS=$${SESSIONS:-10000} EDITS=$${EDITS:-200} RATE=$${RATE:-1000} STREAMS=all FAULT_POINTS=all \
		CFGW_PROFILE=soak cargo test --profile soak --workspace --test suite -- broker::killed e2e::sessions e2e::changes e2e::resilience wire::kinds --nocapture --test-threads=1
	OUTAGE_SECONDS=$${OUTAGE_SECONDS:-300} ROTATION_FAILURES=all tests/cluster/test cluster::outage cluster::rotation --nocapture
	RUNS=$${RUNS:-20} tests/conformance/run
	PATCHED_TESTS=1 tests/run patches
	IMAGES=1 tests/run image
	tests/mutants/run

mutants: ## 400 small changes of the domain, drawn by a fixed seed: which of them its own tests notice. MUTANTS=1000 draws so many, MUTANTS=all makes all.
	@tests/mutants/run

image: ## The image as an OCI layout and archive in target/image, for amd64 and arm64, without a daemon. ARCHITECTURES=amd64 builds one.
	@app/image/build --architectures $(or $(ARCHITECTURES),amd64,arm64)

release: ## What a release has, in target/dist: images, chart, cfgwctl for six platforms, packages, checksums (docs/releasing.md).
	@app/release/build

bench: ## What a request costs, beside cloudflared, nginx and haproxy (a release build first).
	@tests/bench/run

bench-api: ## How many calls to Cloudflare an idle interval, 500 new hostnames and a restart with 10,000 cost, through the stand-in.
	cargo test --workspace --test suite -- --ignored --exact records::calls::bench_api --nocapture

bench-broker: ## What a broker with a thousand clusters costs, and what a second broker brings (PROFILE=soak builds faster; a release build first).
	@tests/bench/broker

bench-scale: ## A thousand HTTPRoutes in a test cluster: times, memory, writes (ROUTES=1000, GATEWAYS=10; a release build first).
	@PROFILE=$(or $(PROFILE),release) SCALE_ROUTES=$(or $(ROUTES),1000) SCALE_GATEWAYS=$(or $(GATEWAYS),10) \
		tests/cluster/test bench_routes --nocapture

conformance: ## The official Gateway API conformance suite in a test cluster. RUN=TestName runs one test.
	@RUN="$(RUN)" tests/conformance/run

report: ## The conformance report as the Gateway API's repository takes it, with its README. AGAIN=1 takes the last run.
	@tests/conformance/submit

cluster-up: ## A one-node Kubernetes on this machine, apart from it (Linux, root). NAME=dev unless set.
	@tests/cluster/run up $(or $(NAME),dev)
	@echo "next: tests/cluster/run exec $(or $(NAME),dev) -- kubectl get pods --all-namespaces"
	@echo "      make cluster-down$(if $(NAME), NAME=$(NAME)) ends it; docs/test-cluster.md says more"

cluster-down: ## Ends that cluster; nothing is left.
	@tests/cluster/run down $(or $(NAME),dev)

lint: ## Format and lints only.
	@tests/run format clippy

fmt: ## Format the code.
	cargo fmt --all

clean: ## Remove what builds left. What was downloaded for the test cluster stays in ~/.cache/cfgw-cluster.
	rm -rf target .cache
