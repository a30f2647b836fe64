#!/bin/sh
# two_processes.sh GENERATE_TEXT MODEL: one process compresses a prompt and saves it, a second one
# goes on from the file. Both must say the same; a file that does not fit is refused in one line.
set -eu
program=$1 model=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
text='The rain came to Greenvale and the shop stayed shut.'
prompt="The code of Rosa is 4711. $text $text $text $text $text $text The code of"

"$program" --model "$model" --prompt "$prompt" --kv-budget 0.8 --max-new-tokens 20 \
  --save-cache "$folder/cache" >"$folder/first" 2>/dev/null
"$program" --model "$model" --load-cache "$folder/cache" --kv-budget 0.8 --max-new-tokens 20 \
  >"$folder/second" 2>"$folder/said"
cmp "$folder/first" "$folder/second"
[ "$(wc -c <"$folder/first")" -gt "${#prompt}" ] || { echo "nothing was generated"; exit 1; }
[ "$(ls "$folder" | wc -l)" -eq 4 ] || { echo "something else was written"; exit 1; }

# refused SENTENCE ARGUMENT...
refused() {
  sentence=$1
  shift
  if "$program" --model "$model" "$@" >"$folder/out" 2>"$folder/error"; then
    echo "not refused: $sentence"
    exit 1
  fi
  grep -q "$sentence" "$folder/error" || { echo "expected: $sentence"; cat "$folder/error"; exit 1; }
  [ "$(wc -l <"$folder/error")" -eq 1 ] && [ ! -s "$folder/out" ] || { echo "$sentence: more than a line"; exit 1; }
}
refused 'made by other policies' --load-cache "$folder/cache" --kv-budget 0.7
refused 'made by other policies' --load-cache "$folder/cache" --kv-budget 0.8 --rho 0.6
refused 'needs --kv-budget' --load-cache "$folder/cache"
refused 'cannot be given with' --load-cache "$folder/cache" --save-cache x --kv-budget 0.8
head -c 5000 "$folder/cache" >"$folder/short"
refused 'damaged' --load-cache "$folder/short" --kv-budget 0.8
refused 'cannot be written' --save-cache "$folder/no/such" --kv-budget 0.8 --prompt "$prompt"
