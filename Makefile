# For newcomers: `make test` and `make demo` are all that is needed. The rest is in `make help`.
# Everything is built by CMake; this file only names the usual rounds.

JOBS ?= $(shell nproc)
export JOBS
export CMAKE_GENERATOR ?= Ninja

sources = git ls-files --cached --others --exclude-standard '*.hpp' '*.cpp' '*.cu' '*.cuh'
RESULTS ?= build/bench/results.json
peers := $(wildcard build/bench/peers.json)
NEW ?= $(RESULTS)
TOLERANCE ?= 0.1

.PHONY: test test-all test-gpu demo results-query-aware results-query-independent \
        bench bench-all bench-peers bench-report bench-compare rota_bench fuzz format format-check tidy clean help

# What each of the three suites is made of: scripts/stages.txt.
test: ## build and test: sanitizers, the emulated GPU, documentation, examples
	@scripts/setup.sh clang
	@scripts/check.sh test

test-all: ## every stage there is; may be stopped and goes on (STAGES="threads clang" for some)
	@scripts/setup.sh clang format lint portability
	@scripts/check.sh all $(STAGES)

fuzz: ## fuzzers of files and stores, a minute each (scripts/fuzz.sh SECONDS NAME for one)
	@scripts/setup.sh clang
	@scripts/fuzz.sh

test-gpu: ## build the CUDA tests for the GPU, run them on it and under compute-sanitizer
	@scripts/test_gpu.sh

demo: ## compress the small model's cache and compare methods; writes build/demo
	@scripts/setup.sh
	@cmake --preset release
	@cmake --build --preset release --parallel $(JOBS) --target examples_lm_evaluate
	@mkdir -p build/demo
	build/release/examples/lm/evaluate --demo --out build/demo

results-query-aware: ## every method at every budget, 500 to 5,000 samples a cell; may be stopped and goes on; writes docs/results
	@scripts/setup.sh
	@cmake --preset release
	@cmake --build --preset release --parallel $(JOBS) --target examples_lm_results_query_aware
	build/release/examples/lm/results_query_aware --model examples/lm/checkpoints/rota-synth \
	  --predictor examples/lm/checkpoints/rota-synth/predictor.safetensors \
	  --predictor-unseen examples/lm/checkpoints/rota-synth/predictor_unseen.safetensors \
	  --journal build/results/query_aware --out docs/results

results-query-independent: ## adapters, routers, fills and bases trained and measured, about 50 runs of two minutes; may be stopped and goes on; writes docs/results
	@scripts/setup.sh
	@cmake --preset release
	@cmake --build --preset release --parallel $(JOBS) --target examples_lm_results_query_independent
	build/release/examples/lm/results_query_independent --model examples/lm/checkpoints/rota-synth \
	  --journal build/results/query_independent --out docs/results

bench: rota_bench ## the usual benchmarks; writes build/bench/results.json
	bench/compile_time.sh build/bench/compile_time.json
	build/release/bench/rota_bench --benchmark_out=build/bench/results.json --benchmark_out_format=json
	@bench/merge.py build/bench/results.json build/bench/results.json build/bench/compile_time.json

bench-all: rota_bench ## the whole grid of benchmarks, a long run; writes build/bench/results_all.json
	build/release/bench/rota_bench --all --benchmark_out=build/bench/results_all.json --benchmark_out_format=json

bench-peers: rota_bench ## PyTorch (installed in build/peers) and our attention in turns; writes build/bench/peers.json
	bench/peers/setup.sh
	bench/peers/run.sh

bench-report: ## tables and pictures of what was measured; writes docs/measurements/CPU (NAME=... to name it)
	@bench/peers/setup.sh plot
	build/peers/bin/python -B bench/report.py $(RESULTS) $(if $(peers),--peers $(peers)) $(if $(NAME),--name $(NAME))

bench-compare: ## fails where a line got worse: OLD=a.json [NEW=b.json] [TOLERANCE=0.1]
	bench/compare.py $(or $(OLD),$(error bench-compare: please say OLD=results.json)) $(NEW) --tolerance $(TOLERANCE)

rota_bench:
	@scripts/setup.sh
	@cmake --preset release
	@cmake --build --preset release --parallel $(JOBS) --target rota_bench
	@mkdir -p build/bench

format: ## put every C++ file in form
	@scripts/setup.sh format
	@$(sources) | xargs clang-format -i

format-check: ## fail where a C++ file is not in form
	@scripts/setup.sh format
	@$(sources) | xargs scripts/check_format.sh

tidy: ## clang-tidy over the library, the examples and the benchmarks
	@scripts/setup.sh lint
	@scripts/tidy.sh

clean: ## remove everything that was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
