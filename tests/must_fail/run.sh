#!/usr/bin/env bash
# run.sh COMPILER INCLUDE_DIR FILE: passes when FILE does not compile and the first error says the
# sentence of its first line, `// expect: <sentence>`. Its second line may name flags of the
# compiler, `// flags: <flags>`.
set -u
compiler=$1 include=$2 file=$3

sentence=$(sed -n '1s|^// expect: ||p' "$file")
if [ -z "$sentence" ]; then
  echo "$file: its first line must be // expect: <sentence>"
  exit 1
fi
read -ra flags <<<"$(sed -n '2s|^// flags: ||p' "$file")"
if output=$("$compiler" -std=c++20 -fsyntax-only -fdiagnostics-color=never "${flags[@]}" \
  -I "$include" "$file" 2>&1); then
  echo "$file: compiled, but must not"
  exit 1
fi
first=$(printf '%s\n' "$output" | grep -m1 'error: ')
case $first in
  *"$sentence"*) echo "refused as expected: $first" ;;
  *)
    printf '%s: the first error is not the expected one\n  expected: %s\n  first:    %s\n' \
      "$file" "$sentence" "$first"
    printf '%s\n' "$output" | head -40
    exit 1
    ;;
esac
