#!/usr/bin/env bash
# gpu_session.sh [OPTION...]: makes a folder that measures and tests rota::cuda on a machine with a
# GPU that is at hand for minutes only: everything is built here. docs/cuda.md says how to go on.
#   --out FOLDER      where to build; the folder to carry is FOLDER/carry. Default build/gpu_session
#   --arch ARCH       the GPU. Default sm_90; machine code for it alone, so that the folder is small
#   --megabytes N     that the carried folder may have. Default 49
#   --log-files N     files that may come back. Default 8
#   --minutes N       that the machine is lent for, its start and the transfers included. Default 15
#   --trap-waits      every program traps where it waits for a copy for more than a second
#   --dry-run         proves on this machine, without a GPU, that each step's command line is good
# JOBS: compilers at a time. Needs nvcc, doctest and CLI11; takes ccache where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/gpu_build.sh

out=build/gpu_session arch=sm_90 megabytes=49 log_files=8 minutes=15 trap=() dry=no
# The machine's start and the transfers take some of the minutes.
start_seconds=330

whole() { [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || fail "$1 takes a whole number from 1 to 9999, not '$2'"; }
while [ $# -gt 0 ]; do
  case $1 in
    --out | --arch | --megabytes | --log-files | --minutes)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --out) out=$2 ;;
        --arch) arch=$2 ;;
        --megabytes) whole "$1" "$2" && megabytes=$2 ;;
        --log-files) whole "$1" "$2" && log_files=$2 ;;
        --minutes) whole "$1" "$2" && minutes=$2 ;;
      esac
      shift 2
      ;;
    --trap-waits) trap=(-DROTA_CUDA_TRAP_WAITS) && shift ;;
    --dry-run) dry=yes && shift ;;
    --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 0 ;;
    *) fail "there is no option '$1'; --help lists them" ;;
  esac
done
seconds=$((60 * minutes - start_seconds))
[ $seconds -ge 60 ] || fail "--minutes $minutes leaves less than a minute for work: the machine's start takes $start_seconds s"

# What gpu_runner.sh writes: its table, its log, and a file a measurement.
# shellcheck disable=SC2016
written=$((2 + $(grep -c -- '--out "$OUT/' scripts/gpu_runner.sh)))
[ "$written" -le "$log_files" ] || fail "the runner writes $written files, and --log-files $log_files allows fewer"

if [ $dry = yes ]; then
  build "$out/dry" "${dry_tests[@]}"
  carry=$out/dry/carry
else
  build "$out" tests/cuda/*_test.cpp
  carry=$out/carry
fi
lay_out "$carry" "$seconds"
check_size "$carry" "$megabytes"

if [ $dry = no ]; then
  echo "ready: carry $carry to the machine; there OUT=folder-for-results ./run.sh, which takes at most $seconds s"
  echo "what comes back: bench/gpu_results.py FOLDER makes the result's file and its page"
  exit 0
fi
results=$out/dry/results
rm -rf "$results" && mkdir -p "$results"
echo "==== each step's command, checked by scripts/gpu_prove.py ===="
GPU_PROVE_SOURCES=$PWD/tests/cuda GPU_RUNNER_PROVE=$PWD/scripts/gpu_prove.py OUT=$results "$carry/run.sh"
bad=$(awk -F'\t' '!/^#/ && $2 != "ok"' "$results/steps.tsv")
[ -z "$bad" ] || { cat "$results/log.txt" && fail "steps are not good: $(cut -f1 <<<"$bad" | tr '\n' ' ')"; }
say_what_is_proved
