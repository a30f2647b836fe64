#pragma once

#include <utility>

#include <rota/cpu/simd/unroll.hpp>
#include <rota/cpu/simd/vec.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

namespace transpose_detail {

/// Of lanes l: a where bit `Step` of l is not set, else b, that many lanes before.
template <int Step, class V, int... L>
V low_halves(V a, V b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (L & Step ? lanes + L - Step : L)...);
}
/// The lanes that low_halves() leaves out.
template <int Step, class V, int... L>
V high_halves(V a, V b, std::integer_sequence<int, L...>) {
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

/// Of 2 Step rows makes Step: the maxima over pairs of lanes, those of rows[i + Step] where bit
/// `Step` of the lane is set.
template <int Step>
[[gnu::always_inline]] inline void fold_maxima(ints<lanes>* rows) {
  using all = std::make_integer_sequence<int, lanes>;
  unroll<Step>([&](int i) __attribute__((always_inline)) {
    const ints<lanes> low = low_halves<Step>(rows[i], rows[i + Step], all{});
    rows[i] = max<lanes>(low, high_halves<Step>(rows[i], rows[i + Step], all{}));
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

/// Lane i of the result is the largest lane of row i: [lanes] vectors, which are lost.
[[gnu::always_inline]] inline ints<lanes> horizontal_maxima(ints<lanes>* rows) {
  if constexpr (lanes >= 16) transpose_detail::fold_maxima<8>(rows);
  if constexpr (lanes >= 8) transpose_detail::fold_maxima<4>(rows);
  transpose_detail::fold_maxima<2>(rows);
  transpose_detail::fold_maxima<1>(rows);
  return rows[0];
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
