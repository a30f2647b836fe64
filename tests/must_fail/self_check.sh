#!/usr/bin/env bash
# self_check.sh COMPILER: run.sh accepts a file refused with its sentence, and nothing else.
set -u
here=$(dirname "$0")
failed=0

# expect STATUS FILE WORDS: run.sh must exit with STATUS and say WORDS.
expect() {
  output=$("$here/run.sh" "$compiler" "$here" "$here/self/$2" 2>&1)
  status=$?
  case "$status:$output" in
    "$1:"*"$3"*) ;;
    *)
      echo "$2: expected status $1 and '$3', got status $status and: $output"
      failed=1
      ;;
  esac
}

compiler=$1
expect 0 refused.cpp "refused as expected"
expect 0 refused_by_flags.cpp "refused as expected"
expect 1 compiles.cpp "compiled, but must not"
expect 1 second_error.cpp "the first error is not the expected one"
expect 1 no_sentence.cpp "its first line must be"
exit $failed
