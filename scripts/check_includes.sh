#!/usr/bin/env bash
# check_includes.sh INCLUDE_DIR: the rules of the house about what a header may include.
#   1. A header includes only what stands above its own folder in `order` (or its own folder).
#   2. Stock policies (score, budget, fill, basis) never include each other.
#   3. Only cpu/ knows Eigen, only cuda/ knows CUDA, only the two know <functional>, <ranges>,
#      <iostream>.
#   4. Only cpu/simd/ knows instruction sets: their macros, intrinsics and assembly (cuda/ptx has its
#      own).
#   5. No include cycles.
set -euo pipefail
cd "${1:?usage: check_includes.sh INCLUDE_DIR}"

edges=$(mktemp) && trap 'rm -f "$edges"' EXIT
# A stock policy is a header of these folders that names its kind; others there are shared helpers.
policies=$(grep -rlsE 'using policy_kind' rota/{score,budget,fill,basis} | tr '\n' ' ' || true)
find rota -name '*.hpp' -o -name '*.cuh' | LC_ALL=C sort | xargs -r awk -v edges="$edges" -v policies="$policies" '
  function complain(why) {
    printf "%s:%d: %s\n  %s\n", FILENAME, FNR, why, $0
    bad++
  }
  function folder_of(path,   part) {
    return split(path, part, "/") > 2 ? part[2] : "."
  }
  # "a/b/../c" -> "a/c", for includes written relative to the file
  function resolved(path) {
    while (sub(/[^\/]+\/\.\.\//, "", path)) {}
    return path
  }
  BEGIN {
    n = split("core policy lora basis score budget select fill store attend train . cpu cuda", order)
    for (i = 1; i <= n; i++) rank[order[i]] = i
    split(policies, list)
    for (i in list) stock[list[i]] = 1
  }
  FNR == 1 {
    here = folder_of(FILENAME)
    if (!(here in rank)) complain("folder " here " has no place in the order of the house")
  }
  /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    target = $0
    sub(/^[^<"]*[<"]/, "", target)
    sub(/[>"].*/, "", target)
    if ($0 ~ /include[ \t]*"/) {
      base = FILENAME
      sub(/[^\/]*$/, "", base)
      if (target !~ /^rota\//) target = resolved(base target)
    }
    if (target ~ /^rota\//) {
      print FILENAME, target > edges
      there = folder_of(target)
      if (!(there in rank))
        complain("includes a folder without a place in the order of the house")
      else if (rank[there] > rank[here] || (here == "cuda" && there == "cpu"))
        complain(here "/ stands above " there "/ and may not include it")
      else if (FILENAME in stock && target in stock)
        complain("stock policies never include each other")
      next
    }
    if (here != "cpu" && target ~ /^(Eigen|unsupported\/Eigen)\//)
      complain("only cpu/ includes Eigen")
    if (here != "cuda" && target ~ /^(cuda|cub\/|thrust\/|nv\/|cooperative_groups|mma\.h|device_)/)
      complain("only cuda/ includes CUDA")
    if (here != "cpu" && here != "cuda" && target ~ /^(functional|ranges|iostream|thread)$/)
      complain("only cpu/ and cuda/ include <" target ">")
  }
  FILENAME !~ /^rota\/(cpu\/simd|cuda)\// &&
    /(^|[^A-Za-z0-9_])(__(AVX|SSE|FMA|F16C|AMX|ARM|x86_64|i386|aarch64|asm)|_mm[0-9]*_|__m(128|256|512)|_tile_|arm_neon\.h|[a-z]*mmintrin\.h)/ {
    complain("only cpu/simd/ knows instruction sets")
  }
  END { exit bad > 0 }' || { echo "check_includes: the order above is broken"; exit 1; }

# tsort names the members of a cycle on stderr and fails.
if ! cycle=$(tsort "$edges" 2>&1 >/dev/null); then
  echo "check_includes: headers include each other in a circle:"
  echo "$cycle"
  exit 1
fi
