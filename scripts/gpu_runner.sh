#!/usr/bin/env bash
# gpu_runner.sh [STEP...]: measures and tests on a machine with a GPU, in the folder that
# gpu_session.sh has made. OUT names the folder for the results. Without STEP all steps are run, the
# most valuable ones first; one that would not end in time is skipped and named. Results are written
# after each step, so that whatever stops the machine, what was done is there:
#   steps.tsv   a line a step: name, result, seconds, what it said last
#   log.txt     what the steps printed
#   *.json      measurements, each file whole at any time
# A step that fails stops nothing: no `set -e`.
set -u
: "${OUT:?gpu_runner: please set OUT to the folder for the results}"
mkdir -p "$OUT" && OUT=$(realpath "$OUT") || exit 1
cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
. ./settings.sh # seconds, revision, cublas: written by gpu_session.sh
# shellcheck disable=SC2154
deadline=$((SECONDS + seconds))
chosen=" $* "
skipped=()
log=$OUT/log.txt
prove=(${GPU_RUNNER_PROVE:+"$GPU_RUNNER_PROVE"})  # a dry run: checks a command in its stead

# record STEP RESULT SECONDS WORDS: a line of the table, in characters that a page can have
record() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(tr -c 'A-Za-z0-9 .,:;/%()_+-' ' ' <<<"$4" | tr -s ' ' | cut -c1-160)" |
    tee -a "$OUT/steps.tsv"
}

# last_words FILE: the line that says most about what a step printed
last_words() {
  grep -aE '^\[doctest\] test cases|ERROR SUMMARY|RACECHECK SUMMARY' "$1" | tail -1 | grep . ||
    grep -a . "$1" | tail -1
}

# step NAME NEEDS LIMIT COMMAND...: runs the command for at most LIMIT seconds, if NEEDS are left
step() {
  local name=$1 needs=$2 limit=$3 left=$((deadline - SECONDS)) begun=$SECONDS output result rc
  shift 3
  [[ $chosen == "  " || $chosen == *" $name "* ]] || return 0
  if [ "$left" -lt "$needs" ]; then
    skipped+=("$name")
    record "$name" skipped 0 "needs $needs s, $left s are left"
    return 0
  fi
  [ "$limit" -le "$left" ] || limit=$left
  output=$(mktemp)
  timeout -k 2 "$limit" "${prove[@]}" "$@" >"$output" 2>&1 </dev/null
  rc=$?
  case $rc in
    0) result=ok ;;
    124 | 137) result="stopped at its limit of $limit s" ;;
    *) result="failed with $rc" ;;
  esac
  # racecheck also warns of what is meant: its word is for a reader to judge.
  [[ $name != racecheck/* ]] || result=${result/#failed/advisory, failed}
  { printf '==== %s: %s\n$ %s\n' "$name" "$result" "$*"; tail -c 262144 "$output"; } >>"$log"
  record "$name" "${result%%[ ,]*}" $((SECONDS - begun)) "$(last_words "$output")"
  rm -f "$output"
}

# cuBLAS is the one library that the folder does not bring: CUDA's own, or the one that PyTorch has.
# shellcheck disable=SC2154
find_cublas() {
  local found
  ldconfig -p 2>/dev/null | grep -qF "$cublas" && return
  found=$(timeout 10 find /usr/local /opt /usr/lib -name "$cublas" -print -quit 2>/dev/null)
  [ -z "$found" ] || export LD_LIBRARY_PATH="${found%/*}:${LD_LIBRARY_PATH:-}"
}

# shellcheck disable=SC2154
printf '# date\t%s\n# revision\t%s\n' "$(date +%F)" "$revision" >"$OUT/steps.tsv"
find_cublas

# shellcheck disable=SC2054
four=(--shape 1,32768,32 --shape 8,8192,32 --shape 32,8192,32 --shape 64,16384,32)
three=(--store dense --store "packed 37.5%" --store paged)
# shellcheck disable=SC2054
profiled=(bin/decode --once --queries 1 --shape 8,8192,32)

step machine 1 10 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,compute_cap --format=csv,noheader
step smoke 5 20 bin/decode_trapping --once --queries 1 --shape 1,1024,32 "${three[@]}"
step decode 25 60 bin/decode --out "$OUT/decode.json" --queries 1 "${four[@]}" "${three[@]}"
files=$(bin/test_cuda --reporters=xml --list-test-cases | sed -n 's/.*filename="\([^"]*\)\.cpp".*/\1/p' | sort -u)
[ -n "$files" ] || record test/none failed 0 "bin/test_cuda does not start or has no tests"
for file in $files; do
  step "test/${file##*/}" 3 40 bin/test_cuda "--source-file=*/${file##*/}.cpp"
done
step decode_all 60 150 bin/decode --out "$OUT/decode_all.json"
step select_pack 15 60 bin/select_pack --out "$OUT/select_pack.json"
step compress_prefill 20 60 bin/compress_prefill --out "$OUT/compress_prefill.json"
step torch 45 120 python3 peers/torch_decode.py --out "$OUT/torch_decode.json" --queries 1 "${four[@]}" \
  --peer "sdpa flash" --peer "sdpa cudnn" --peer flex
for store in "packed 37.5%" dense; do
  # The first launch of each kernel is the check's; the second is what is to be seen.
  step "ncu/${store%% *}" 15 45 ncu --clock-control none --set full --kernel-name-base demangled \
    --kernel-name 'regex:.*(attend|merge)_kernel<.*' --launch-skip 2 --launch-count 2 \
    "${profiled[@]}" --store "$store"
done
for tool in memcheck racecheck synccheck; do
  for suite in attend_test select_test pack_test; do
    options=(--tool "$tool" --error-exitcode 9)
    # Tests make calls of the runtime fail, and check what becomes of that.
    [ "$tool" != memcheck ] || options+=(--report-api-errors no)
    step "$tool/$suite" 10 60 compute-sanitizer "${options[@]}" bin/test_cuda "--source-file=*/$suite.cpp"
  done
done

echo "results are in $OUT"
[ ${#skipped[@]} -eq 0 ] || echo "skipped for want of time; to run them: OUT=... $0 ${skipped[*]}"
