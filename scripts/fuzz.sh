#!/usr/bin/env bash
# fuzz.sh [SECONDS [FUZZER...]]: builds the fuzzers of tests/fuzz and runs each (or those named) for
# SECONDS (60). They begin with tests/fuzz/corpus and what earlier runs found, which stays in
# build/fuzz/corpus. Prints how much was tried and how much code was reached. A crash, an input that
# takes over 10 s or 1 GiB, or a program that does not start is a failure; its input is kept as
# build/fuzz/FUZZER-*, and `build/fuzz/tests/fuzz/FUZZER FILE` runs it again.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift $(($# > 0))
mkdir -p build/fuzz
cmake --preset fuzz >build/fuzz/configure.log 2>&1 || { cat build/fuzz/configure.log && exit 1; }
cmake --build --preset fuzz --parallel "${JOBS:-$(nproc)}" --target fuzzers || exit 1

if [ $# -eq 0 ]; then
  for source in tests/fuzz/*.cpp; do set -- "$@" "$(basename "$source" .cpp)"; done
fi
failed=0
for name in "$@"; do
  log=build/fuzz/$name.log
  mkdir -p "build/fuzz/corpus/$name"
  if build/fuzz/tests/fuzz/"$name" -max_total_time="$seconds" -max_len=2048 -len_control=0 -timeout=10 \
    -rss_limit_mb=1024 -malloc_limit_mb=512 -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
    "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    result=passed
  else
    result="FAILED, see $log"
    failed=$((failed + 1))
    grep -a -E 'does not hold|ERROR|runtime error|what\(\)|Test unit written' "$log" || tail -n 5 "$log"
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(grep -a -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1)
  printf 'fuzz %-12s %9s executions, %s: %s\n' "$name" "${executions:-?}" "${coverage:-no coverage}" "$result"
done
exit $((failed > 0))
