#!/bin/sh
# check_stages.sh ROOT: CONTRIBUTING.md has the table of stages that ROOT/scripts/check.sh prints.
set -eu
cd "${1:?usage: check_stages.sh ROOT}"
wanted=$(scripts/check.sh --table)
found=$(awk '/^\| stage \|/ { on = 1 } !/^\|/ { on = 0 } on' CONTRIBUTING.md)
[ "$wanted" = "$found" ] || {
  echo "CONTRIBUTING.md: its table of stages is not that of scripts/stages.txt; put this in its place:"
  echo "$wanted"
  exit 1
}
