#pragma once

#include <utility>

#include <rota/cpu/simd/isa.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

/// f(0), f(1), ... f(N - 1), written out by the front end. Arrays of vectors that are only indexed
/// so stay in registers; GCC unrolls plain loops too late for that and keeps the arrays in memory.
/// Mark f itself __attribute__((always_inline)).
template <int N, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f(I), ...);
  }
  (std::make_integer_sequence<int, N>{});
#else
  for (int i = 0; i < N; ++i) f(i);  // where speed does not matter, compile time does
#endif
}

/// f(i, j) for all i < N, j < M, row by row.
template <int N, int M, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
  unroll<N>([&](int i) __attribute__((always_inline)) {
    unroll<M>([&](int j) __attribute__((always_inline)) { f(i, j); });
  });
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
