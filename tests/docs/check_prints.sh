#!/bin/sh
# check_prints.sh PROGRAM PAGE: the page quotes the line that the program prints, in back-ticks.
set -eu
printed=$("${1:?usage: check_prints.sh PROGRAM PAGE}")
grep -qF -- "\`$printed\`" "$2" || {
  echo "$2: does not quote what $1 prints: $printed"
  exit 1
}
