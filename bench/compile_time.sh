#!/usr/bin/env bash
# compile_time.sh [JSON]: what `#include <rota/rota.hpp>` adds to the compile time of an empty file
# with g++ at -O0. The two are compiled in turns, so that a busy machine slows both alike, and
# medians are compared. A benchmark, not a test: it never fails on a figure. The goal is 1.0 s. JSON gets
# a line in the form of Google Benchmark.
set -euo pipefail
rounds=${ROUNDS:-9}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

: >"$work/empty.cpp"
echo '#include <rota/rota.hpp>' >"$work/umbrella.cpp"

# compile NAME: appends the seconds that it took to NAME.times
compile() {
  local begin=$EPOCHREALTIME
  ${CXX:-g++} -std=c++20 -O0 -I "$root/include" -c "$work/$1.cpp" -o "$work/$1.o"
  echo "$EPOCHREALTIME $begin" | awk '{ printf "%.4f\n", $1 - $2 }' >>"$work/$1.times"
}

compile empty && compile umbrella && rm "$work"/*.times  # the first pair warms the file cache
for ((i = 0; i < rounds; i++)); do compile empty && compile umbrella; done

median() { sort -n "$1" | awk '{ t[NR] = $1 } END { print (t[int((NR + 1) / 2)] + t[int((NR + 2) / 2)]) / 2 }'; }
empty=$(median "$work/empty.times") umbrella=$(median "$work/umbrella.times")
added=$(awk -v a="$umbrella" -v b="$empty" 'BEGIN { printf "%.3f", a - b }')

echo "compile time: <rota/rota.hpp> adds $added s to an empty file (medians of $rounds: $umbrella s, $empty s; goal 1.0 s)"
if [ $# -gt 0 ]; then
  mkdir -p "$(dirname "$1")"
  printf '{"benchmarks": [{"name": "compile_time/umbrella", "run_type": "iteration", "real_time": %s, "time_unit": "s", "umbrella_s": %s, "empty_s": %s, "rounds": %s}]}\n' \
    "$added" "$umbrella" "$empty" "$rounds" >"$1"
fi
