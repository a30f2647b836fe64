#pragma once

#include <utility>

#include <rota/cpu/simd/unroll.hpp>
#include <rota/cpu/simd/vec.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

namespace transpose_detail {

/// Of lanes l: a where bit `Step` of l is not set, else b, that many lanes before.
template <int Step, int... L>
native low_halves(native a, native b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L & Step ? lanes + L - Step : L)...);
}
/// The lanes that low_halves() leaves out.
template <int Step, int... L>
native high_halves(native a, native b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L & Step ? lanes + L : L + Step)...);
}

/// Exchanges the off-diagonal quarters of all squares of 2 Step rows and lanes.
template <int Step, int Rows>
[[gnu::always_inline]] inline void exchange(native* rows) {
  using all = std::make_integer_sequence<int, lanes>;
  unroll<Rows>([&](int i) __attribute__((always_inline)) {
    if ((i & Step) != 0) return;
    const native a = rows[i], b = rows[i + Step];
    rows[i] = low_halves<Step>(a, b, all{});
    rows[i + Step] = high_halves<Step>(a, b, all{});
  });
}

}  // namespace transpose_detail

/// Row i, lane j of the result is row j, lane i of what was there, in each square of Rows rows and
/// lanes: [Rows] vectors, 4 or a larger power of two.
template <int Rows = lanes>
[[gnu::always_inline]] inline void transpose(native* rows) {
  if constexpr (Rows >= 16) transpose_detail::exchange<8, Rows>(rows);
  if constexpr (Rows >= 8) transpose_detail::exchange<4, Rows>(rows);
  transpose_detail::exchange<2, Rows>(rows);
  transpose_detail::exchange<1, Rows>(rows);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
