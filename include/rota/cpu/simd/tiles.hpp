#pragma once

#include <cstddef>

#include <rota/cpu/simd/matrix_unit.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/transpose.hpp>

// How floats become tiles of bf16. A float has 24 significant bits, so it is the sum of three bf16
// of 8 bits, all of its sign: products with a bf16, added in float, are as exact as multiply-adds
// of floats. Queries are made so; weights, which are all positive, are the sum of two. Queries that
// came as bf16 are one term, and weights of outputs that are rounded to bf16 are one. R is 4, 8 or
// 16 numbers at once.

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

/// The nearest bf16 as the upper half of a float; what lies between two rounds away from zero.
template <int N>
uints<N> nearest_bf16(floats<N> x) {
  return (bits_as<uints<N>>(x) + 0x8000u) & 0xffff0000u;
}

/// Terms of R weights: four of them take a tile, however many terms they are.
template <int R, int Terms>
inline constexpr int weight_terms = R == 4 ? 2 : Terms;

/// What one or two terms keep of weights: 2^-9 or 2^-17 of one is left out at most. NaN as
/// arithmetic makes it, which is quiet, stays.
template <int N, int Terms>
floats<N> kept_of_weights(floats<N> w) {
  // The largest NaN would be rounded to zero.
  const uints<N> bits = min<N>(bits_as<uints<N>>(w), uints<N>{} + 0x7fff0000u);
  const auto first = bits_as<floats<N>>(nearest_bf16<N>(bits_as<floats<N>>(bits)));
  if constexpr (Terms == 1) return first;
  return first + bits_as<floats<N>>(nearest_bf16<N>(w - first));
}

#if defined(ROTA_CPU_AMX)

template <int R, int Terms>
inline constexpr int query_tiles = (Terms * R + 15) / 16;

/// The terms of x as the upper halves of floats.
template <int Terms>
struct bf16_terms {
  uints<16> term[Terms];

  explicit bf16_terms(floats<16> x) {
    for (int i = 0; i < Terms; ++i) {
      term[i] = bits_as<uints<16>>(x) & 0xffff0000u;
      x -= bits_as<floats<16>>(term[i]);
    }
  }
};

/// Terms of two numbers a lane, the first's in the lower half: row i of some right factors whose
/// lanes are columns, the terms' R lanes one after the other. Lane j of `first` and `second`
/// belongs to number j mod R.
template <int R, int Terms>
void pair_terms(floats<16> first, floats<16> second, uints<16> (&out)[query_tiles<R, Terms>]) {
  static_assert(R == 4 || R == 8 || R == 16);
  const bf16_terms<Terms> a(first);
  const bf16_terms<Terms> b(second);
  for (uints<16>& row : out) row = uints<16>{};
  for (int i = 0; i < Terms; ++i) {
    const auto to = static_cast<__mmask16>(((1 << R) - 1) << i * R % 16);
    uints<16>& row = out[i * R / 16];
    row = (uints<16>)_mm512_mask_mov_epi32((__m512i)row, to,
                                           (__m512i)((a.term[i] >> 16) | b.term[i]));
  }
}

/// w: [16][R]; rows: [R] of 16.
template <int R>
void load_transposed(const float* w, floats<16>* rows) {
  const auto part = [&](int i) { return load_raw<floats<R>>(w + i * R); };
  if constexpr (R == 16) unroll<R>([&](int i) { rows[i] = part(i); });
  if constexpr (R == 8)
    unroll<R>([&](int i) {
      rows[i] = __builtin_shufflevector(part(i), part(i + 8), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                        12, 13, 14, 15);
    });
  if constexpr (R == 4) {
    const auto two = [](floats<4> x, floats<4> y) {
      return __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7);
    };
    unroll<R>([&](int i) {
      rows[i] = __builtin_shufflevector(two(part(i), part(i + 4)), two(part(i + 8), part(i + 12)),
                                        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    });
  }
  transpose<R>(rows);
}

/// Weights as left factors of rows of values as they lie, a row for each of 16 tokens. A product
/// adds pairs of columns: a weight beside a zero takes the even ones, a zero beside it the odd
/// ones. Rows of R = 4: the terms of four weights for even columns, then for odd ones. R = 8: one
/// tile for each term, even then odd. R = 16: one for each term and parity.
template <int R, int Terms>
using weight_factors = uints<16>[R == 16 ? 2 : 1][R == 4 ? 1 : Terms][tile_rows];

/// w: [16][R] floats that kept_of_weights() changes no more.
template <int R, int Terms>
void stage_weights(const float* w, weight_factors<R, Terms>& out) {
  floats<16> row[R];
  load_transposed<R>(w, row);
  for (int r = 0; r < R; ++r)
    for (int term = 0; term < weight_terms<R, Terms>; ++term) {
      const uints<16> odd = nearest_bf16<16>(row[r]);
      row[r] -= bits_as<floats<16>>(odd);
      if constexpr (R == 4) {
        out[0][0][4 * term + r] = odd >> 16;
        out[0][0][8 + 4 * term + r] = odd;
      }
      if constexpr (R == 8) {
        out[0][term][r] = odd >> 16;
        out[0][term][8 + r] = odd;
      }
      if constexpr (R == 16) {
        out[0][term][r] = odd >> 16;
        out[1][term][r] = odd;
      }
    }
}

/// The same for 16 rows where tokens come in pairs: a tile for each term, a row for each row of
/// weights, its 32 columns the tokens. w: [32][16].
template <int Terms>
void stage_weight_pairs(const float* w, uints<16> (&out)[Terms][tile_rows]) {
  floats<16> pairs[Terms][tile_rows];
  unroll<tile_rows>([&](int i) __attribute__((always_inline)) {
    floats<16> first = load_raw<floats<16>>(w + 32 * i);
    floats<16> second = load_raw<floats<16>>(w + 32 * i + 16);
    for (int term = 0; term < Terms; ++term) {
      const bool is_last = term == Terms - 1;  // and is a bf16
      const uints<16> a = is_last ? bits_as<uints<16>>(first) : nearest_bf16<16>(first);
      const uints<16> b = is_last ? bits_as<uints<16>>(second) : nearest_bf16<16>(second);
      pairs[term][i] = bits_as<floats<16>>((a >> 16) | b);
      first -= bits_as<floats<16>>(a);
      second -= bits_as<floats<16>>(b);
    }
  });
  for (int term = 0; term < Terms; ++term) {
    transpose<tile_rows>(pairs[term]);
    unroll<tile_rows>([&](int r) { out[term][r] = bits_as<uints<16>>(pairs[term][r]); });
  }
}

/// 2^118, as the bits of a bf16: the unit adds the products of even and of odd tokens apart, and of
/// smaller values no sum overflows there that would not otherwise.
inline constexpr std::uint16_t least_immoderate = (118 + 127) << 7;

/// 32 columns of two rows as pairs, as a right factor has them: those of the first 16 columns, and
/// those of the others. A row that is null is zeros. Remembers the largest magnitudes.
class pair_columns {
 public:
  void operator()(const void* first, const void* second, std::ptrdiff_t offset, void* low,
                  void* high) {
    const __m512i a = load(first, offset), b = load(second, offset);
    _mm512_storeu_si512(low, _mm512_unpacklo_epi16(a, b));
    _mm512_storeu_si512(high, _mm512_unpackhi_epi16(a, b));
  }
  bool all_moderate() const {
    return _mm512_cmpge_epu16_mask(top_, _mm512_set1_epi16(least_immoderate)) == 0;
  }

 private:
  __m512i load(const void* row, std::ptrdiff_t offset) {
    const __m512i x = row == nullptr ? _mm512_setzero_si512()
                                     : _mm512_loadu_si512(static_cast<const char*>(row) + offset);
    top_ = _mm512_max_epu16(top_, _mm512_and_si512(x, _mm512_set1_epi16(0x7fff)));
    // Unpacking takes the lower halves of quarters, so that is where the first columns are to be.
    return _mm512_permutexvar_epi64(_mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0), x);
  }
  __m512i top_ = _mm512_setzero_si512();
};

/// Sums of even and odd columns as 32 columns in order.
inline void store_columns(floats<16> even, floats<16> odd, float* to) {
  const floats<16> first =
      __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const floats<16> second = __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                                    13, 29, 14, 30, 15, 31);
  store_raw(to, load_raw<floats<16>>(to) + first);
  store_raw(to + 16, load_raw<floats<16>>(to + 16) + second);
}

/// Remembers whether anything was infinite or not a number.
class finite_check {
 public:
  void see(floats<16> v) { zeros_ = fma<16>(v, floats<16>{}, zeros_); }  // 0 * inf is not a number
  bool all_finite() const {
    return _mm512_cmp_ps_mask((__m512)zeros_, (__m512)zeros_, _CMP_UNORD_Q) == 0;
  }

 private:
  floats<16> zeros_ = {};
};

/// What a tile of sums, a row for each of 16 tokens, says of R queries: to: [16][R].
template <int R>
void store_logits(const float* sums, float* to, finite_check& check) {
  const auto row = [&](int i) { return load_raw<floats<16>>(sums + 16 * i); };
  for (int t = 0; t < 16; t += 16 / R) {
    floats<16> v = row(t);
    if constexpr (R == 8) v = reduce_detail::add_halves(v, row(t + 1));
    if constexpr (R == 4)
      v = reduce_detail::add_quarters(reduce_detail::add_halves(v, row(t + 1)),
                                      reduce_detail::add_halves(row(t + 2), row(t + 3)));
    check.see(v);
    store_raw(to + R * t, v);
  }
}

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
