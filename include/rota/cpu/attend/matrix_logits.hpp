#pragma once

#include <rota/cpu/attend/matrix.hpp>

// Scores on the matrix unit: keys of bf16 as they lie, queries as sums of bf16.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Floats that a query row takes as tiles; 0 where d_k does not suit them.
constexpr index_t query_tile_floats(index_t d_k) {
  if (!simd::has_matrix_unit || d_k % tile_depth != 0) return 0;
  return 2 * d_k;  // a float is three terms of half its size, and a quarter of a tile may be idle
}

/// Tiles of a set's queries: [d_k / 32][query_tiles<R, Terms>], a row for each pair of columns.
/// `column(c)`: the numbers of column c, row j mod R in lane j.
template <int R, int Terms, class Column>
void stage_query_tiles(index_t d_k, Column column, float* tiles);

/// As logits() for R rows whose queries are `tiles`; false where a logit is not finite: such are
/// then to be formed otherwise.
/// Lines: how many are asked for with a tile of keys, which is 16.
template <int R, int Terms, int Lines, codec C>
bool matrix_logits(const block<C>& b, token_range range, const float* tiles, index_t d_k,
                   row_prefetcher<bf16>& ahead, float* out);

/// The same for two sets of 16 rows whose queries are one term each: a tile of keys is loaded once
/// for both. `lines`: those that are asked for with it.
template <codec C>
bool matrix_logits_of_two(const block<C>& b, token_range range, const float* const (&tiles)[2],
                          index_t d_k, row_prefetcher<bf16>& ahead, int lines,
                          float* const (&out)[2]);

#if defined(ROTA_CPU_AMX)

template <int R, int Terms, class Column>
void stage_query_tiles(index_t d_k, Column column, float* tiles) {
  constexpr int n = simd::query_tiles<R, Terms>;
  for (index_t c = 0; c < d_k; c += 2) {
    simd::uints<16> terms[n];
    simd::pair_terms<R, Terms>(column(c), column(c + 1), terms);
    float* const row = tiles + c / tile_depth * n * tile_floats + c % tile_depth / 2 * 16;
    for (int p = 0; p < n; ++p) simd::store_raw(row + p * tile_floats, terms[p]);
  }
}

/// The sums of up to matrix_tokens keys with R queries.
template <int R, int Terms, int Lines>
void multiply_keys(const bf16* rows, index_t stride, index_t n, const float* tiles, index_t d_k,
                   row_prefetcher<bf16>& ahead) {
  constexpr int kept = simd::query_tiles<R, Terms>;
  simd::clear_sums();
  for (index_t c = 0; c < d_k; c += tile_depth, tiles += kept * tile_floats) {
    simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
      simd::load_kept_tile<p>(tiles + p * tile_floats);
    });
    simd::each_constant<4>([&](auto g) __attribute__((always_inline)) {
      constexpr index_t first = g * tile_rows;
      if (first >= n) return;
      load_rows(rows + first * stride + c, stride, n - first, simd::load_tile);
      ahead.next<Lines>();
      simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
        simd::multiply_by_kept<g, p>();
      });
    });
  }
}

template <int R, int Terms, int Lines, codec C>
bool matrix_logits(const block<C>& b, token_range range, const float* tiles, index_t d_k,
                   row_prefetcher<bf16>& ahead, float* out) {
  simd::finite_check check;
  for (index_t j = range.begin; j < range.end; j += matrix_tokens) {
    const bf16* const rows = b.keys + j * b.key_stride;
    const index_t n = std::min(matrix_tokens, range.end - j);
    multiply_keys<R, Terms, Lines>(rows, b.key_stride, n, tiles, d_k, ahead);
    alignas(64) tile_sums sums;
    store_all(sums);
    float* const to = out + (j - range.begin) * R;
    for (index_t g = 0; g * tile_rows < n; ++g)
      simd::store_logits<R>(sums[g], to + g * tile_rows * R, check);
  }
  return check.all_finite();
}

/// The sums of up to 32 keys, two tiles of them, with each of two sets.
inline void multiply_keys_by_two(const bf16* rows, index_t stride, index_t n,
                                 const float* const (&tiles)[2], index_t d_k,
                                 row_prefetcher<bf16>& ahead, int lines) {
  simd::clear_sums();
  for (index_t c = 0; c < d_k; c += tile_depth) {
    const index_t at = c / tile_depth * tile_floats;
    simd::load_kept_tile<0>(tiles[0] + at);
    simd::load_kept_tile<1>(tiles[1] + at);
    simd::each_constant<2>([&](auto g) __attribute__((always_inline)) {
      constexpr index_t first = g * tile_rows;
      if (first >= n) return;
      load_rows(rows + first * stride + c, stride, n - first, simd::load_tile);
      ahead.next(lines);
      simd::multiply_by_kept<2 * g, 0>();
      simd::multiply_by_kept<2 * g + 1, 1>();
    });
  }
}

template <codec C>
bool matrix_logits_of_two(const block<C>& b, token_range range, const float* const (&tiles)[2],
                          index_t d_k, row_prefetcher<bf16>& ahead, int lines,
                          float* const (&out)[2]) {
  simd::finite_check check;
  for (index_t j = range.begin; j < range.end; j += 2 * tile_rows) {
    const index_t n = std::min<index_t>(2 * tile_rows, range.end - j);
    multiply_keys_by_two(b.keys + j * b.key_stride, b.key_stride, n, tiles, d_k, ahead, lines);
    alignas(64) tile_sums sums;
    store_all(sums);
    for (index_t g = 0; g * tile_rows < n; ++g)
      for (index_t set = 0; set < 2; ++set)
        simd::store_logits<16>(sums[2 * g + set], out[set] + (j - range.begin + g * tile_rows) * 16,
                               check);
  }
  return check.all_finite();
}

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
