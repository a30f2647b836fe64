#!/usr/bin/env bash
# check.sh SUITE [STAGE...]: builds and tests the stages of a suite (test, ci or all) in
# scripts/stages.txt, or only those named, and adds up the results. A stage that does not build
# counts as one failure, and the others still run. At the end: how long each stage took, and the ten
# objects that took longest to compile.
#
# In suite `all` a stage that has passed is not run again while no file of the project changes, so a
# run that was stopped goes on where it was.
#
# check.sh --table: the stages as a Markdown table.
set -uo pipefail
cd "$(dirname "$0")/.."
list=scripts/stages.txt

# One stage a line, its fields separated by a character that none of them has.
stages() { grep -v '^#' "$list" | sed 's/ *; */\x1f/g'; }

if [ "${1:-}" = --table ]; then
  printf '| stage | `make test` | `.ci/run` | `make test-all` | what it is for |\n|---|---|---|---|---|\n'
  stages | awk -F '\x1f' '{
    printf "| `%s` | %s | %s | %s | %s |\n", $1, $2 ~ /test/ ? "x" : "", $2 ~ /ci/ ? "x" : "",
           $2 ~ /all/ ? "x" : "", $7
  }'
  exit
fi

suite=${1:?usage: check.sh SUITE [STAGE...]}
shift
[[ $suite =~ ^(test|ci|all)$ ]] || { echo "check.sh: no suite $suite: test, ci or all" && exit 2; }
for name in "$@"; do
  stages | grep -q "^$name"$'\x1f' || { echo "check.sh: no stage $name in $list" && exit 2; }
done
jobs=${JOBS:-$(nproc)}
mkdir -p build/stages
export CMAKE_GENERATOR=Ninja
# Another checkout of the same sources finds these objects: paths below the checkout are relative,
# and the folder that a compiler runs in is not part of what it is asked. What a file includes is
# taken from the compiler, so that nothing is preprocessed twice.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
began=$(date +%s) times=() logs=() broken=() skipped=()

has() { [ -z "$1" ] || command -v "$1" >/dev/null || grep -qw "$1" /proc/cpuinfo; }

# A number for every file that the project has now.
tree() { git ls-files -co --exclude-standard -z | LC_ALL=C sort -z | xargs -0 sha1sum 2>/dev/null | sha1sum; }

run_command() { # STAGE COMMAND
  local result=Passed
  bash -c "$2" || result=Failed
  printf '1/1 Testing: %s\nTest %s.\n' "$1" $result >"build/stages/$1.log"
}

run_preset() { # STAGE PRESET TARGETS LABELS
  local configure=build/$2.configure.log run=() select=(-L "$4") targets=()
  [ "${4#!}" = "$4" ] || select=(-LE "${4#!}")
  read -ra targets <<<"$3"
  cmake --preset "$2" >"$configure" 2>&1 || { cat "$configure" && return 1; }
  if [ ${#targets[@]} -gt 0 ]; then
    cmake --build --preset "$2" --parallel "$jobs" --target "${targets[@]}" || return 1
  fi
  built=$SECONDS
  [ "$4" = '^none$' ] && { printf '1/1 Testing: %s\nTest Passed.\n' "$1" >"build/stages/$1.log" && return; }
  # Thread sanitizer needs the usual layout of addresses.
  [ "$2" = tsan ] && setarch -R true 2>/dev/null && run=(setarch -R)
  rm -f "build/$2/Testing/Temporary/LastTest.log"
  "${run[@]}" ctest --preset "$2" --parallel "$jobs" --no-tests=error "${select[@]}" || true
  cp "build/$2/Testing/Temporary/LastTest.log" "build/stages/$1.log"
}

while IFS=$'\x1f' read -r -u 3 stage suites preset what labels needs _; do
  if [ $# -gt 0 ]; then
    [[ " $* " == *" $stage "* ]] || continue
  else
    [[ " $suites " == *" $suite "* ]] || continue
  fi
  if ! has "$needs"; then
    skipped+=("$stage (no $needs)")
    continue
  fi
  log=build/stages/$stage.log passed=build/stages/$stage.passed
  if [ "$suite" = all ] && [ -f "$log" ] && [ "$(cat "$passed" 2>/dev/null)" = "$(tree)" ]; then
    printf '\n==== %s: passed before ====\n' "$stage"
    logs+=("$log")
    continue
  fi
  printf '\n==== %s ====\n' "$stage"
  started=$SECONDS built=$SECONDS
  rm -f "$log" "$passed"
  if [ "$preset" = run ]; then
    run_command "$stage" "$what"
  elif ! run_preset "$stage" "$preset" "$what" "$labels"; then
    echo "==== $stage does not build ===="
    broken+=("$stage")
  fi
  times+=("$(printf '%-16s %6d %6d' "$stage" $((built - started)) $((SECONDS - built)))")
  [ -f "$log" ] || continue
  logs+=("$log")
  grep -qE '^(Test Failed\.|Test Timed Out\.|Unable to find executable)|^Test .*Exception' "$log" || tree >"$passed"
done 3< <(stages)

printf '\nseconds             build   test\n'
printf '%s\n' "${times[@]}"
printf '%-16s %13d\n' "all" "$SECONDS"
slowest() { # the objects that this run built, slowest first
  awk -v began="$began" '
    $3 / 1e9 >= began && $4 ~ /\.o$/ {
      preset = FILENAME
      gsub(/^build\/|\/.*/, "", preset)
      printf "%6.1f  %s: %s\n", ($2 - $1) / 1000, preset, $4
    }' build/*/.ninja_log 2>/dev/null | sort -rn | head -10
}
printf '\nslowest objects, seconds\n'
slowest
[ ${#skipped[@]} -eq 0 ] || printf '\nskipped: %s\n' "${skipped[@]}"

# A doctest program counts its test cases, any other test counts once.
awk -v broken="${broken[*]}" '
  /^[0-9]+\/[0-9]+ Testing: / { name = $3; cases = ok = bad = 0 }
  /^\[doctest\] test cases:/ {
    for (i = 1; i <= NF; i++) {
      if ($i == "passed") ok += $(i - 1)
      if ($i == "failed") bad += $(i - 1)
      if ($i == "skipped") skipped += $(i - 1)
    }
    cases = 1
  }
  /^\[doctest\] assertions:/ { assertions += $3 }
  /^Test Passed\.$/ { passed += cases ? ok : 1 }
  # A program that died, or failed after all its cases passed, has one failure that it did not count.
  /^(Test Failed\.|Test Timed Out\.|Unable to find executable)/ || /^Test .*Exception/ {
    passed += ok
    failed += bad ? bad : 1
    names = names "\n  " (name ? name : FILENAME)
  }
  END {
    failed += split(broken, stages)
    for (i in stages) names = names "\n  " stages[i] " does not build"
    if (names) printf "\nfailed:%s\n", names
    printf "\n%d assertions\n%d passed, %d failed", assertions, passed, failed
    if (skipped) printf ", %d skipped (need a GPU)", skipped
    printf "\n"
    exit failed > 0
  }' "${logs[@]:-/dev/null}"
