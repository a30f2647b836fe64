#!/usr/bin/env bash
# test_gpu.sh: builds the CUDA tests for the GPU and runs them there, then under compute-sanitizer
# where it is. Without a GPU the tests are built, counted as skipped, and nothing fails. Needs nvcc
# and doctest; DOCTEST_DIR names a folder that has doctest/doctest.h, if it is not installed.
# GPU_ARCH: what to compile for. Default: the GPU that is there; where there is none, or nvcc does not
# know it yet, sm_90, whose PTX newer devices compile for themselves (sm_90a has none).
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/gpu
mkdir -p "$out"

gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null | head -1 || true)
arch=${GPU_ARCH:-}
if [ -z "$arch" ]; then
  arch=$(sed -n 's/.*, *\([0-9]*\)\.\([0-9]*\)$/sm_\1\2/p' <<<"$gpu")
  nvcc --list-gpu-code | grep -x "${arch:-none}" >/dev/null || arch=sm_90
fi
flags=(-std=c++20 -O2 -arch="$arch" --Werror all-warnings -I include -I tests)
[ -n "${DOCTEST_DIR:-}" ] && flags+=(-isystem "$DOCTEST_DIR")

echo "==== CUDA tests for $arch ===="
sources=(tests/main.cpp tests/cuda/*_test.cpp)
build() {
  nvcc "${@:2}" -x cu -c "$1" -o "build/gpu/$(basename "$1").o"
}
export -f build
printf '%s\n' "${sources[@]}" | xargs -P "${JOBS:-$(nproc)}" -I {} bash -c 'build "$@"' _ {} "${flags[@]}"
nvcc -arch="$arch" "$out"/*.o -o "$out/test_cuda"

if [ -z "$gpu" ]; then
  cases=$("$out/test_cuda" --count | sed -n 's/.*: *\([0-9]*\)$/\1/p')
  echo "no GPU: ${cases:-all} test cases skipped (built, not run)"
  exit 0
fi
echo "==== on $gpu ===="
"$out/test_cuda"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    echo "==== $tool ===="
    options=()
    # Tests make calls of the runtime fail, and check what becomes of that.
    [ "$tool" = memcheck ] && options=(--report-api-errors no)
    compute-sanitizer --tool "$tool" "${options[@]}" --error-exitcode 1 "$out/test_cuda"
  done
else
  echo "compute-sanitizer is not here: memcheck, racecheck, synccheck, initcheck skipped"
fi
