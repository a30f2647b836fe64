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
refused 'requires --kv-budget' --load-cache "$folder/cache"
refused 'excludes' --load-cache "$folder/cache" --save-cache x --kv-budget 0.8
head -c 5000 "$folder/cache" >"$folder/short"
refused 'damaged' --load-cache "$folder/short" --kv-budget 0.8

# From a file and from standard input the same follows as from the command line.
printf %s "$prompt" >"$folder/prompt"
"$program" --model "$model" --prompt-file "$folder/prompt" --kv-budget 0.8 --max-new-tokens 20 \
  >"$folder/third" 2>/dev/null
cmp "$folder/first" "$folder/third"
"$program" --model "$model" --prompt-file - --kv-budget 0.8 --max-new-tokens 20 \
  <"$folder/prompt" >"$folder/fourth" 2>/dev/null
cmp "$folder/first" "$folder/fourth"

# A saved prompt's escape sequences do not reach the terminal.
escape=$(printf '\033')
"$program" --model "$model" --prompt "$prompt $escape[31m" --kv-budget 0.8 --max-new-tokens 1 \
  --save-cache "$folder/red" >/dev/null 2>&1
"$program" --model "$model" --load-cache "$folder/red" --kv-budget 0.8 --max-new-tokens 1 \
  >"$folder/out" 2>/dev/null
! grep -q "$escape" "$folder/out" || { echo "an escape sequence was printed"; exit 1; }
grep -q '?\[31m' "$folder/out" || { echo "the saved prompt is not there"; exit 1; }

# A budget that is too small is refused with the smallest, which then does; where none below 1 does,
# the whole cache is used.
said=$("$program" --model "$model" --prompt "$prompt" --kv-budget 0.05 2>&1 >/dev/null) && exit 1
least=$(echo "$said" | sed -n 's/.*the smallest for this prompt is \(0\.[0-9]*\):.*/\1/p')
[ -n "$least" ] || { echo "no smallest budget: $said"; exit 1; }
"$program" --model "$model" --prompt "$prompt" --kv-budget "$least" --max-new-tokens 1 >/dev/null 2>&1
"$program" --model "$model" --prompt 'The rain' --kv-budget 1 --max-new-tokens 1 \
  >/dev/null 2>"$folder/said"
grep -q 'too short to compress' "$folder/said" || { echo "nothing was said"; exit 1; }
refused 'too short to compress' --prompt 'The rain' --kv-budget 1 --save-cache "$folder/none"
refused 'does not compress' --prompt x --kv-budget 1 --method dense
refused 'cannot be written' --save-cache "$folder/no/such" --kv-budget 0.8 --prompt "$prompt"
