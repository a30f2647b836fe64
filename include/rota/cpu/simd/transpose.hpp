#pragma once

#include <rota/cpu/simd/unroll.hpp>
#include <rota/cpu/simd/vec.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

namespace transpose_detail {

/// Of lanes l: a where bit `Step` of l is not set, else b, that many lanes before.
template <int Step>
struct low_halves {
  static constexpr int of(int l) { return l & Step ? lanes + l - Step : l; }
};
/// The lanes that low_halves leaves out.
template <int Step>
struct high_halves {
  static constexpr int of(int l) { return l & Step ? lanes + l : l + Step; }
};

/// Lane l of the result is lane Lane::of(l) of a followed by b. The lanes are written out because
/// nvcc, which compiles these headers for the host too, loses a pack inside the builtin.
template <class Lane, class V>
V shuffled(V a, V b) {
  constexpr auto of = Lane::of;
  if constexpr (lanes == 4)
    return __builtin_shufflevector(a, b, of(0), of(1), of(2), of(3));
  else if constexpr (lanes == 8)
    return __builtin_shufflevector(a, b, of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7));
  else
    return __builtin_shufflevector(a, b, of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7),
                                   of(8), of(9), of(10), of(11), of(12), of(13), of(14), of(15));
}

/// Exchanges the off-diagonal quarters of all squares of 2 Step rows and lanes.
template <int Step, int Rows>
[[gnu::always_inline]] inline void exchange(native* rows) {
  unroll<Rows>([&](int i) __attribute__((always_inline)) {
    if ((i & Step) != 0) return;
    const native a = rows[i], b = rows[i + Step];
    rows[i] = shuffled<low_halves<Step>>(a, b);
    rows[i + Step] = shuffled<high_halves<Step>>(a, b);
  });
}

/// Of 2 Step rows makes Step: the maxima over pairs of lanes, those of rows[i + Step] where bit
/// `Step` of the lane is set.
template <int Step>
[[gnu::always_inline]] inline void fold_maxima(ints<lanes>* rows) {
  unroll<Step>([&](int i) __attribute__((always_inline)) {
    const ints<lanes> low = shuffled<low_halves<Step>>(rows[i], rows[i + Step]);
    rows[i] = max<lanes>(low, shuffled<high_halves<Step>>(rows[i], rows[i + Step]));
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
