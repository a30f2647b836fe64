#!/usr/bin/env bash
# order_self_check.sh CHECK: the include check accepts a good tree and refuses each kind of bad one.
set -u
check=$1
tree=$(mktemp -d) && trap 'rm -rf "$tree"' EXIT
failed=0

# expect VERDICT FILE INCLUDE: adds one include to a fresh good tree and runs the check.
expect() {
  rm -rf "$tree/rota" && mkdir -p "$tree"/rota/{core,policy,score,budget,store,cpu/simd,cuda}
  echo '#include <cstdint>' >"$tree/rota/core/a.hpp"
  echo '#include <rota/core/a.hpp>' >"$tree/rota/policy/a.hpp"
  printf '#include <rota/policy/a.hpp>\n  using policy_kind = some_tag;\n' |
    tee "$tree"/rota/{score,budget,store}/{a,b}.hpp >/dev/null
  echo '#include <cmath>' >"$tree/rota/score/helper.hpp"
  echo '#include <rota/store/a.hpp>' | tee "$tree"/rota/{cpu,cuda}/a.hpp "$tree/rota/rota.hpp" >/dev/null
  echo "#include $3" >>"$tree/rota/$2"
  if "$check" "$tree" >"$tree/log" 2>&1; then verdict=good; else verdict=bad; fi
  if [ $verdict != "$1" ]; then
    echo "rota/$2 including $3 was found $verdict, expected $1"
    cat "$tree/log"
    failed=1
  fi
}

expect good core/a.hpp '<cmath>'
expect good store/b.hpp '<rota/store/a.hpp>'
expect good store/b.hpp '"a.hpp"'
expect good cpu/a.hpp '<Eigen/Core>'
expect good cpu/a.hpp '<functional>'
expect good cuda/a.hpp '<cuda_runtime.h>'
expect good score/a.hpp '<rota/score/helper.hpp>'
expect bad core/a.hpp '<rota/policy/a.hpp>'
expect bad core/a.hpp '"../policy/a.hpp"'
expect bad store/a.hpp '<rota/rota.hpp>'
expect bad store/a.hpp '<rota/cpu/a.hpp>'
expect bad rota.hpp '<rota/cpu/a.hpp>'
expect bad cuda/a.hpp '<rota/cpu/a.hpp>'
expect bad core/a.hpp '<rota/elsewhere/a.hpp>'
expect bad score/a.hpp '<rota/score/b.hpp>'
expect bad budget/a.hpp '<rota/score/b.hpp>'
expect bad store/a.hpp '<Eigen/Core>'
expect bad cuda/a.hpp '<Eigen/Core>'
expect bad cpu/a.hpp '<cuda_runtime.h>'
expect bad core/a.hpp '<functional>'
expect bad core/a.hpp '<ranges>'
expect bad core/a.hpp ' <iostream>  // why'

# instruction sets
expect good cpu/simd/a.hpp '<immintrin.h>'
expect good cpu/simd/a.hpp $'<cmath>\n#if defined(__AVX2__)\n#endif'
expect good cpu/a.hpp $'<cmath>\nint instrument_mm(int);'
expect bad cpu/a.hpp '<immintrin.h>'
expect bad cpu/a.hpp '<arm_neon.h>'
expect bad score/a.hpp '<xmmintrin.h>'
expect bad cpu/a.hpp $'<cmath>\n#if defined(__AVX2__)\n#endif'
expect bad cpu/a.hpp $'<cmath>\n#ifdef __aarch64__\n#endif'
expect bad cpu/a.hpp $'<cmath>\ninline void f() { __asm__(""); }'
expect bad cpu/a.hpp $'<cmath>\n__m512 f(__m512);'
expect bad store/a.hpp $'<cmath>\ninline auto f() { return _mm256_setzero_ps(); }'

# a cycle between two headers of one folder
expect good store/b.hpp '<cstdint>'
echo '#include <rota/store/b.hpp>' >>"$tree/rota/store/a.hpp"
echo '#include <rota/store/a.hpp>' >>"$tree/rota/store/b.hpp"
if "$check" "$tree" >/dev/null 2>&1; then
  echo "a cycle was not seen"
  failed=1
fi
exit $failed
