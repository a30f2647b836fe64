# For newcomers: `make test` and `make demo` are all that is needed. The rest is in `make help`.
# Everything is built by CMake; this file only names the usual rounds.

JOBS ?= $(shell nproc)
export JOBS
# Ninja starts builds faster; make does as well.
ifneq ($(shell command -v ninja),)
export CMAKE_GENERATOR ?= Ninja
endif

sources = git ls-files --cached --others --exclude-standard '*.hpp' '*.cpp' '*.cu' '*.cuh'
nvcc := $(shell command -v nvcc)
# clang builds sanitized templates in half the time of g++ 12. Its runtime is a package of its own.
asan := $(shell echo 'int main() {}' | clang++ -fsanitize=address,undefined -x c++ - -o /dev/null \
          2>/dev/null && echo asan-clang || echo asan)

RESULTS ?= build/bench/results.json
peers := $(wildcard build/bench/peers.json)
NEW ?= $(RESULTS)
TOLERANCE ?= 0.1

.PHONY: test test-all test-portability test-gpu demo results-query-aware results-query-independent \
        bench bench-all bench-peers bench-report bench-compare rota_bench fuzz format format-check tidy clean help

# What a kernel may take of a GPU, where there is a compiler that says so.
static_gates = $(if $(nvcc),'cuda:^cuda-static$$')
ifeq ($(nvcc),)
skipped = @echo "skipped: the static gates of CUDA kernels (no nvcc on the PATH)"
endif

# The unit tests for each level of x86-64 that this machine has, by both compilers, and for AArch64
# under an emulator. (With clang, AVX-512 is in the stage `clang` where the machine has it.)
has = $(shell grep -qw $(1) /proc/cpuinfo && echo yes)
portable = $(if $(call has,lm),'x86-64:^unit$$') $(if $(call has,sse4_2),'x86-64-v2:^unit$$') \
           $(if $(call has,avx2),'x86-64-v3:^unit$$' 'x86-64-v3-clang:^unit$$') \
           $(if $(call has,avx512vl),'x86-64-v4:^unit$$') 'aarch64:^(unit|example)$$'

test: ## build and test: release, sanitizers, and what kernels take (with nvcc)
	@scripts/setup.sh
	@scripts/check.sh 'release:!^(lm|long)$$' '$(asan):^(unit|lm)$$' $(static_gates)
	$(skipped)

test-all: ## test, and also: long tests, fuzzers, threads, debug, clang, other instruction sets, every header by nvcc, format, clang-tidy
	@scripts/setup.sh format lint portability
	@scripts/check.sh 'release:!^lm$$' '$(asan):^(unit|lm)$$' 'tsan:^unit$$' 'debug:^(unit|lm)$$' 'clang:!^(lm|long)$$' $(portable) $(if $(nvcc),cuda)
	@cmake --build --preset release --parallel $(JOBS) --target lm_programs
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory format-check tidy

test-portability: ## the unit tests on other instruction sets: levels of x86-64, and AArch64 under an emulator
	@scripts/setup.sh portability
	@scripts/check.sh $(portable)

fuzz: ## build the fuzzers and run each for SECONDS (60); a crashing input stays in build/fuzz
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh $(or $(SECONDS),60)

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
