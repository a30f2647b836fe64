#!/usr/bin/env bash
# check.sh INCLUDE_DIR WORK_DIR TABLE [SOURCE...]: compiles the sources for every architecture that
# we name and compares what each kernel takes with the checked-in table. Fails on local memory
# (spills, stack) beyond the table's, on more registers than the table allows, and on kernels that
# the table does not know. With UPDATE=1 the table is written anew: look at the change before you
# commit it.
#
# A line of the table: architecture, registers, bytes of stack and spills, kernel.
set -euo pipefail
include=$1 work=$2 table=$3
shift 3
mkdir -p "$work"
found=$work/found.txt

# ptxas -v speaks of a kernel in three lines: its name, its stack and spills, its registers.
compile() {
  nvcc -std=c++20 --Werror all-warnings -Xptxas -v -I "$include" \
    -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a -c "$1" -o "$work/$(basename "$1").o" \
    >"$work/$(basename "$1").log" 2>&1 || { cat "$work/$(basename "$1").log" && return 1; }
}
export -f compile
export include work
printf '%s\n' "$@" | xargs -P "${JOBS:-$(nproc)}" -I {} bash -c 'compile {}'

for source in "$@"; do cat "$work/$(basename "$source").log"; done | c++filt | awk '
  /Compiling entry function/ {
    arch = $NF
    gsub(/\x27/, "", arch)
    name = $0
    ours = name ~ /rota::cuda::entry</
    sub(/.*rota::cuda::entry</, "", name)
    sub(/ *>\(.*/, "", name)
    gsub(/rota::cuda::|rota::|\(anonymous namespace\)::/, "", name)
  }
  /bytes stack frame/ { local_bytes = $1 + $5 + $9 }
  /Used [0-9]+ registers/ && ours {
    match($0, /Used [0-9]+/)
    print arch, substr($0, RSTART + 5, RLENGTH - 5), local_bytes, name
  }' | LC_ALL=C sort -u -k4 -k1,1 >"$found"
[ -s "$found" ] || { echo "no kernels found" && exit 1; }

if [ "${UPDATE:-0}" = 1 ]; then
  cp "$found" "$table"
  echo "$table: $(wc -l <"$table") kernels"
  exit 0
fi
awk '
  { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", name); key = $1 " " name }
  FILENAME == ARGV[1] { registers[key] = $2; bytes[key] = $3; next }
  !(key in registers) { printf "not in the table: %s\n", $0; bad++; next }
  $2 > registers[key] { printf "%d registers, the table allows %d: %s\n", $2, registers[key], key; bad++ }
  $3 > bytes[key] { printf "%d bytes of local memory, the table allows %d: %s\n", $3, bytes[key], key; bad++ }
  { seen++ }
  END {
    if (bad) print "to accept: UPDATE=1 " "'"$0"' INCLUDE_DIR WORK_DIR TABLE SOURCE..."
    printf "%d kernels, %d refused\n", seen, bad
    exit bad > 0
  }' "$table" "$found"
