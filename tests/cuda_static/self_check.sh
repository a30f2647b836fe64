#!/usr/bin/env bash
# self_check.sh CHECK INCLUDE_DIR WORK_DIR: the gate on kernels refuses what it should.
set -euo pipefail
check=$1 include=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
source=$work/kernel.cu table=$work/table.txt

# A kernel with an array of its own that is indexed by a variable: it lies in local memory.
cat >"$source" <<'CU'
#include <rota/cuda/launch.cuh>
#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/ptx/thread.cuh>
struct local_array {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  struct arguments {
    const int* from;
    int* to;
  };
  ROTA_DEVICE static void run(const arguments& a) {
    int own[64];
    for (int i = 0; i < 64; ++i) own[i] = rota::cuda::ptx::load(a.from + i);
    const int at = rota::cuda::ptx::load(a.from + 64 + rota::cuda::ptx::thread_index()) & 63;
    own[at] += 1;
    rota::cuda::ptx::store(a.to, own[rota::cuda::ptx::load(a.from + 63) & 63]);
  }
};
rota::status run(const rota::cuda::backend& b, const int* from, int* to) {
  return rota::cuda::launch<local_array>(b, {1}, {from, to});
}
CU

expect() {  # expect RESULT WHAT: whether the gate passes
  if "$check" "$include" "$work" "$table" "$source" >"$work/out.txt" 2>&1; then got=passes; else got=fails; fi
  [ "$got" = "$1" ] || { echo "the gate $got: $2" && cat "$work/out.txt" && exit 1; }
}
UPDATE=1 "$check" "$include" "$work" "$table" "$source" >/dev/null
cp "$table" "$work/kept.txt"
grep -q ' local_array$' "$table"
expect passes "a table that fits"
awk '{ $3 = 0; print }' "$work/kept.txt" >"$table"
expect fails "local memory that the table does not allow"
awk '{ $2 = $2 - 1; print }' "$work/kept.txt" >"$table"
expect fails "a register more than the table allows"
: >"$table"
expect fails "a kernel that the table does not know"
echo "self check: ok"
