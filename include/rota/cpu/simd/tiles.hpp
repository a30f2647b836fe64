#pragma once

#include <rota/cpu/simd/matrix_unit.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/transpose.hpp>

#if defined(ROTA_CPU_AMX)

// How floats become tiles of bf16 without loss. A float has 24 significant bits, so it is the sum
// of three bf16 of 8 bits, all of its sign: products with a bf16, added in float, are as exact as
// multiply-adds of floats. R is 4 or 16 numbers at once; the terms of all lie one after the other
// in the 16 rows or columns of one tile (R = 4, the last four idle) or of three (R = 16).

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

template <int R>
inline constexpr int term_tiles = (3 * R + 15) / 16;

/// The terms of x as the upper halves of floats.
struct bf16_terms {
  uints<16> term[3];

  explicit bf16_terms(floats<16> x) {
    for (int i = 0; i < 3; ++i) {
      term[i] = bits_as<uints<16>>(x) & 0xffff0000u;
      x -= bits_as<floats<16>>(term[i]);
    }
  }
};

/// Terms of two numbers a lane, the first's in the lower half: row i of term_tiles<R> right factors
/// whose lanes are columns. Lane j of `first` and `second` belongs to number j mod R.
template <int R>
void pair_terms(floats<16> first, floats<16> second, uints<16> (&out)[term_tiles<R>]) {
  static_assert(R == 4 || R == 16);
  const bf16_terms a(first);
  const bf16_terms b(second);
  uints<16> pair[3];
  for (int i = 0; i < 3; ++i) pair[i] = (a.term[i] >> 16) | b.term[i];
  if constexpr (R == 16)
    for (int i = 0; i < 3; ++i) out[i] = pair[i];
  if constexpr (R == 4) {
    const auto blend = [](__mmask16 of_b, uints<16> x, uints<16> y) {
      return (uints<16>)_mm512_mask_blend_epi32(of_b, (__m512i)x, (__m512i)y);
    };
    out[0] = blend(0xf000, blend(0x0f00, blend(0x00f0, pair[0], pair[1]), pair[2]), uints<16>{});
  }
}

/// w: [16][R]; rows: [R] of 16.
template <int R>
void load_transposed(const float* w, floats<16>* rows) {
  floats<16> m[R];
  for (int i = 0; i < R; ++i) m[i] = load_raw<floats<16>>(w + 16 * i);
  if constexpr (R == 16) transpose(m);
  if constexpr (R == 4) {
    const auto two_rows_low = [](floats<16> x, floats<16> y) {
      return __builtin_shufflevector(x, y, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25,
                                     29);
    };
    const auto two_rows_high = [](floats<16> x, floats<16> y) {
      return __builtin_shufflevector(x, y, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27,
                                     31);
    };
    const floats<16> a = two_rows_low(m[0], m[1]), b = two_rows_low(m[2], m[3]);
    const floats<16> c = two_rows_high(m[0], m[1]), d = two_rows_high(m[2], m[3]);
    const auto low = [](floats<16> x, floats<16> y) {
      return __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    };
    const auto high = [](floats<16> x, floats<16> y) {
      return __builtin_shufflevector(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                     31);
    };
    m[0] = low(a, b);
    m[1] = high(a, b);
    m[2] = low(c, d);
    m[3] = high(c, d);
  }
  for (int i = 0; i < R; ++i) rows[i] = m[i];
}

/// The upper halves of 32 floats.
inline __m512i upper_halves_of(uints<16> first, uints<16> second) {
  alignas(64) static constexpr std::uint16_t odd[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                        23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                        45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return _mm512_permutex2var_epi16((__m512i)first, _mm512_load_si512(odd), (__m512i)second);
}

/// One left factor of terms for each of term_tiles<R>: a row for each term of each of R rows.
template <int R>
using left_terms = __m512i[term_tiles<R>][tile_rows];

/// w: [32][R] floats.
template <int R>
void stage_left_terms(const float* w, left_terms<R>& out) {
  floats<16> low[R], high[R];
  load_transposed<R>(w, low);
  load_transposed<R>(w + 16 * R, high);
  for (int r = 0; r < R; ++r) {
    const bf16_terms a(low[r]);
    const bf16_terms b(high[r]);
    for (int i = 0; i < 3; ++i)
      out[(i * R + r) / 16][(i * R + r) % 16] = upper_halves_of(a.term[i], b.term[i]);
  }
  for (int r = 3 * R; r < 16; ++r) out[0][r] = __m512i{};
}

/// Rows of 32 bf16 that belong to a pair of tokens as a row of each of two right factors. Columns
/// 8 q + i of them lie at 4 q + i of the first (i < 4), 8 q + 4 + i at 4 q + i of the second.
inline void interleave(uints<16> even, uints<16> odd, void* first, void* second) {
  _mm512_store_si512(first, _mm512_maskz_unpacklo_epi16(0xffffffffu, (__m512i)even, (__m512i)odd));
  _mm512_store_si512(second, _mm512_maskz_unpackhi_epi16(0xffffffffu, (__m512i)even, (__m512i)odd));
}
/// Columns of two such factors, back in order.
inline void order_columns(floats<16>& first, floats<16>& second) {
  const floats<16> a = first, b = second;
  first = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  second =
      __builtin_shufflevector(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}

/// Lanes that are infinite or not a number.
inline unsigned not_finite(floats<16> v) {
  return _mm512_fpclass_ps_mask((__m512)v, 0x99);
}

/// What a tile of sums, a row for each of 16 tokens, says of R queries: to: [16][R]. Returns lanes
/// that are not finite.
template <int R>
unsigned store_logits(const float* sums, float* to) {
  unsigned bad = 0;
  for (int t = 0; t < 16; t += 16 / R) {
    floats<16> v = load_raw<floats<16>>(sums + 16 * t);
    if constexpr (R == 4) {
      const auto row = [&](int i) { return load_raw<floats<16>>(sums + 16 * (t + i)); };
      v = reduce_detail::add_quarters(reduce_detail::add_halves(v, row(1)),
                                      reduce_detail::add_halves(row(2), row(3)));
    }
    bad |= not_finite(v);
    store_raw(to + R * t, v);
  }
  return bad;
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd

#endif
