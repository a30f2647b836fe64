#!/bin/sh
# check_stages.sh ROOT: CONTRIBUTING.md has the table of stages that ROOT/scripts/check.sh prints,
# and what is no stage or suite is refused, not passed without a test.
set -eu
cd "${1:?usage: check_stages.sh ROOT}"
wanted=$(scripts/check.sh --table)
found=$(awk '/^\| stage \|/ { on = 1 } !/^\|/ { on = 0 } on' CONTRIBUTING.md)
[ "$wanted" = "$found" ] || {
  echo "CONTRIBUTING.md: its table of stages is not that of scripts/stages.txt; put this in its place:"
  echo "$wanted"
  exit 1
}
for words in "all no_such_stage" "test checked no_such_stage" "no_such_suite"; do
  # shellcheck disable=SC2086  # words are two arguments
  if scripts/check.sh $words >/dev/null 2>&1; then
    echo "scripts/check.sh $words: accepted"
    exit 1
  fi
done
