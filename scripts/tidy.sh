#!/usr/bin/env bash
# tidy.sh: clang-tidy over every header (through the sources that compile it alone), example and
# benchmark. Uses the clang build's commands, so that every flag is one that clang knows.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset clang >/dev/null
database=build/clang/compile_commands.json
grep '"file":' "$database" | sed 's/.*"file": "\(.*\)".*/\1/' |
  grep -E '/tests/headers/.*\.hpp\.cpp$|/examples/|/bench/' | LC_ALL=C sort -u |
  xargs -P "${JOBS:-$(nproc)}" -n 4 clang-tidy -p build/clang --quiet \
    --header-filter="$PWD/(include/rota|examples|bench)/"
echo "tidy: clean"
