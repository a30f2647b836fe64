#!/usr/bin/env bash
# check.sh STAGE...: configures, builds and tests, one stage after the other, and adds up the
# results. A stage is PRESET:LABELS (a regular expression of ctest labels; the test programs of these
# labels are built), PRESET:!LABELS (all is built, all but these are run), or PRESET. A stage that
# does not build counts as one failure, and the others still run.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
mkdir -p build
logs=() broken=()

for stage in "$@"; do
  preset=${stage%%:*} labels=()
  targets=(all)
  case $stage in
    *:!*) labels=(-LE "${stage#*:!}") ;;
    *:*) # no programs that nobody runs here
      labels=(-L "${stage#*:}") targets=()
      for label in unit lm example; do [[ $label =~ ${stage#*:} ]] && targets+=("tests_$label"); done
      ;;
  esac
  started=$SECONDS
  printf '\n==== %s ====\n' "$stage"

  if ! { cmake --preset "$preset" >"build/$preset.configure.log" 2>&1 ||
    { cat "build/$preset.configure.log" && false; }; } ||
    { [ ${#targets[@]} -gt 0 ] &&
      ! cmake --build --preset "$preset" --parallel "$jobs" --target "${targets[@]}"; }; then
    echo "==== $stage does not build ===="
    broken+=("$stage")
    continue
  fi
  printf '==== %s: built in %d s ====\n' "$stage" $((SECONDS - started))
  started=$SECONDS
  # Thread sanitizer needs the usual layout of addresses.
  run=()
  [ "$preset" = tsan ] && setarch -R true 2>/dev/null && run=(setarch -R)
  rm -f "build/$preset/Testing/Temporary/LastTest.log"
  "${run[@]}" ctest --preset "$preset" --parallel "$jobs" --no-tests=error "${labels[@]}" || true
  cp "build/$preset/Testing/Temporary/LastTest.log" "build/$preset.test.log" || broken+=("$stage")
  logs+=("build/$preset.test.log")
  printf '==== %s: tested in %d s ====\n' "$stage" $((SECONDS - started))
done

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
  /^Test Passed\.$/ { passed += cases ? ok : 1 }
  # A program that died, or failed after all its cases passed, has one failure that it did not count.
  /^(Test Failed\.|Test Timed Out\.|Unable to find executable)/ || /^Test .*Exception/ {
    passed += ok
    failed += bad ? bad : 1
    names = names "\n  " name
  }
  END {
    failed += split(broken, stages)
    for (i in stages) names = names "\n  " stages[i] " does not build"
    if (names) printf "\nfailed:%s\n", names
    printf "\n%d passed, %d failed", passed, failed
    if (skipped) printf ", %d skipped (need a GPU)", skipped
    printf "\n"
    exit failed > 0
  }' "${logs[@]:-/dev/null}"
