#pragma once

#include <rota/cpu/simd/vec.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

namespace reduce_detail {

#if defined(__AVX512F__)
/// Halves, then quarters: [a0..3 + a8..11 ...]; see horizontal_sums().
inline floats<16> add_halves(floats<16> a, floats<16> b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
         __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                 31);
}
inline floats<16> add_quarters(floats<16> a, floats<16> b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}
inline floats<16> add_pairs(floats<16> a, floats<16> b) {
  return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
         __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}
inline floats<16> add_neighbours(floats<16> a, floats<16> b) {
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}
#endif

#if defined(__AVX__)
inline floats<8> add_halves(floats<8> a, floats<8> b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
}
inline floats<8> add_pairs(floats<8> a, floats<8> b) {
  return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
         __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
}
inline floats<8> add_neighbours(floats<8> a, floats<8> b) {
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}
#endif

inline floats<4> add_pairs(floats<4> a, floats<4> b) {
  return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
}
inline floats<4> add_neighbours(floats<4> a, floats<4> b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

/// Four vectors: in each 128-bit lane, the sums of that lane of a, b, c, d.
template <class V>
V add_in_lanes(V a, V b, V c, V d) {
  return add_neighbours(add_pairs(a, b), add_pairs(c, d));
}

inline floats<4> sums(const floats<4>* a) {
  return add_in_lanes(a[0], a[1], a[2], a[3]);
}

#if defined(__AVX__)
inline floats<8> sums(const floats<8>* a) {
  return add_in_lanes(add_halves(a[0], a[4]), add_halves(a[1], a[5]), add_halves(a[2], a[6]),
                      add_halves(a[3], a[7]));
}
#endif

#if defined(__AVX512F__)
inline floats<16> quarter_sums(const floats<16>* a) {
  return add_quarters(add_halves(a[0], a[4]), add_halves(a[8], a[12]));
}
inline floats<16> sums(const floats<16>* a) {
  return add_in_lanes(quarter_sums(a), quarter_sums(a + 1), quarter_sums(a + 2),
                      quarter_sums(a + 3));
}
#endif

}  // namespace reduce_detail

/// Lane i of the result is the sum of all lanes of a[i], i < lanes. Every sum is added in the same
/// order, so a value does not depend on its place i.
inline native horizontal_sums(const native* a) {
  return reduce_detail::sums(a);
}

/// Sum of all lanes, in a fixed order.
template <int N>
float horizontal_sum(floats<N> v) {
  float x[N];
  store_raw(x, v);
  for (int step = N / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) x[i] += x[i + step];
  return x[0];
}

/// The largest lane; NaN lanes are passed over where another lane compares.
template <int N>
float horizontal_max(floats<N> v) {
  float x[N];
  store_raw(x, v);
  for (int step = N / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) x[i] = x[i] > x[i + step] ? x[i] : x[i + step];
  return x[0];
}

/// Whether all lanes lie between two numbers; NaN does not.
template <int N>
bool all_between(floats<N> v, float low, float high) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const __mmask16 above = _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(low), _CMP_GT_OQ);
    return _mm512_mask_cmp_ps_mask(above, (__m512)v, _mm512_set1_ps(high), _CMP_LT_OQ) == 0xffff;
  }
#endif
  const ints<N> inside = (v > low) & (v < high);
  std::int32_t all = -1;
  for (int l = 0; l < N; ++l) all &= inside[l];
  return all != 0;
}

/// The largest of four, eight or sixteen integers.
inline std::int32_t horizontal_max(ints<4> v) {
  ints<4> other = __builtin_shufflevector(v, v, 2, 3, 0, 1);
  v = v > other ? v : other;
  other = __builtin_shufflevector(v, v, 1, 0, 3, 2);
  return v[0] > other[0] ? v[0] : other[0];
}
#if defined(__AVX__)
inline std::int32_t horizontal_max(ints<8> v) {
  const ints<4> a = __builtin_shufflevector(v, v, 0, 1, 2, 3);
  const ints<4> b = __builtin_shufflevector(v, v, 4, 5, 6, 7);
  return horizontal_max(a > b ? a : b);
}
#endif
#if defined(__AVX512F__)
inline std::int32_t horizontal_max(ints<16> v) {
  const ints<8> a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
  const ints<8> b = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  return horizontal_max(a > b ? a : b);
}
#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
