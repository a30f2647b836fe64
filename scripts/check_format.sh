#!/usr/bin/env bash
# check_format.sh FILE...: names the files that clang-format would change. It compares texts:
# clang-format 14's own --dry-run also reports replacements that change nothing (the closing
# comments of nested inline namespaces).
set -u
bad=0
for file in "$@"; do
  clang-format "$file" | cmp -s - "$file" || { echo "not in form: $file" && bad=1; }
done
[ $bad -eq 0 ] || echo "run: make format"
exit $bad
