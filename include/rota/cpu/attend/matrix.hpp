#pragma once

#include <rota/cpu/attend/sets.hpp>
#include <rota/cpu/attend/values.hpp>
#include <rota/cpu/simd/tiles.hpp>

// Scores and weighted sums on the matrix unit: keys and values of bf16 as they lie, queries and
// weights as sums of three bf16 (simd/tiles.hpp). What is not finite is left to the vector kernels,
// because a term that is zero times infinity is not what a float would give.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

using simd::tile_depth;
using simd::tile_rows;

/// Tokens of a step: the sums that the unit forms at once.
inline constexpr index_t matrix_step = 4 * tile_rows;
/// Columns of values of a step, for the same reason.
inline constexpr index_t matrix_columns = 4 * tile_rows;

/// Whether keys, or whole rows of values, can go through the unit, R rows at once.
template <int R, class E>
inline constexpr bool suits_matrix_unit =
    simd::has_matrix_unit && (R == small_set || R == wide_set) && std::is_same_v<E, bf16>;

/// Whether anything of a codec's rows can.
template <codec C>
inline constexpr bool uses_matrix_unit =
    suits_matrix_unit<small_set, key_type_of<C>> || suits_matrix_unit<small_set, value_type_of<C>>;

/// Floats that a query row takes as tiles; 0 where d_k does not suit them.
constexpr index_t query_tile_floats(index_t d_k) {
  constexpr index_t rows_a_tile = 4;  // three tiles of 16 rows take less
  if (!simd::has_matrix_unit || d_k % tile_depth != 0) return 0;
  return d_k / tile_depth * simd::tile_bytes / static_cast<index_t>(sizeof(float)) / rows_a_tile;
}

/// Tiles of a set's queries: [d_k / 32][passes] tiles, a row for each pair of columns.
/// `column(c)`: the numbers of column c, row j mod R in lane j.
template <int R, class Column>
void stage_query_tiles(index_t d_k, Column column, float* tiles);

/// As logits() for R rows whose queries are `tiles`; false where a logit is not finite, which is
/// then to be formed otherwise.
template <int R, codec C>
bool matrix_logits(const block<C>& b, token_range range, const float* tiles, index_t d_k,
                   bool prefetch, float* out);

/// As add_whole() for rows of bf16 and d_v a multiple of matrix_columns.
template <int R, codec E>
void add_whole_matrix(const block<E>& b, token_range range, weights_view<R> w, index_t d_v,
                      bool prefetch, sums_view sums);

#if defined(ROTA_CPU_AMX)

inline constexpr index_t tile_floats = simd::tile_bytes / 4;

template <int R, class Column>
void stage_query_tiles(index_t d_k, Column column, float* tiles) {
  constexpr int n = simd::term_tiles<R>;
  for (index_t c = 0; c < d_k; c += 2) {
    simd::uints<16> terms[n];
    simd::pair_terms<R>(column(c), column(c + 1), terms);
    float* const row = tiles + c / tile_depth * n * tile_floats + c % tile_depth / 2 * 16;
    for (int p = 0; p < n; ++p) simd::store_raw(row + p * tile_floats, terms[p]);
  }
}

/// Columns [0, 32) of 16 keys; zeros behind the last of `left`.
inline void load_keys(const bf16* row, index_t stride, index_t left) {
  if (left >= tile_rows) {
    simd::load_tile(row, stride * static_cast<index_t>(sizeof(bf16)));
    return;
  }
  alignas(64) bf16 padded_rows[tile_rows * tile_depth] = {};
  for (index_t t = 0; t < left; ++t)
    std::memcpy(static_cast<void*>(padded_rows + t * tile_depth), row + t * stride,
                tile_depth * sizeof(bf16));
  simd::before_tile_loads();
  simd::load_tile(padded_rows, 64);
}

/// The sums of up to matrix_step keys with R queries.
template <int R>
void multiply_keys(const bf16* rows, index_t stride, index_t n, const float* tiles, index_t d_k,
                   bool prefetch) {
  constexpr int kept = simd::term_tiles<R>;
  row_prefetcher<bf16> ahead(rows, stride, n, d_k, prefetch);
  simd::clear_sums();
  for (index_t c = 0; c < d_k; c += tile_depth, tiles += kept * tile_floats) {
    simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
      simd::load_kept_tile<p>(tiles + p * tile_floats);
    });
    simd::each_constant<4>([&](auto g) __attribute__((always_inline)) {
      constexpr index_t first = g * tile_rows;
      if (first >= n) return;
      load_keys(rows + first * stride + c, stride, n - first);
      ahead.next<tile_rows>();
      simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
        simd::multiply_by_kept<g, p>();
      });
    });
  }
}

template <int R, codec C>
bool matrix_logits(const block<C>& b, token_range range, const float* tiles, index_t d_k,
                   bool prefetch, float* out) {
  unsigned bad = 0;
  for (index_t j = range.begin; j < range.end; j += matrix_step) {
    const bf16* const rows = b.keys + j * b.key_stride;
    const index_t n = std::min(matrix_step, range.end - j);
    multiply_keys<R>(rows, b.key_stride, n, tiles, d_k, prefetch);
    alignas(64) float sums[4][tile_floats];
    simd::each_constant<4>([&](auto g)
                               __attribute__((always_inline)) { simd::store_sums<g>(sums[g]); });
    float* const to = out + (j - range.begin) * R;
    for (index_t g = 0; g * tile_rows < n; ++g)
      bad |= simd::store_logits<R>(sums[g], to + g * tile_rows * R);
  }
  if (bad != 0) return false;
  if constexpr (codec_traits<C>::sizes.key_scale > 0)
    scale_logits<R>(b.key_scales + range.begin, range.end - range.begin, out);
  return true;
}

/// The weights of up to matrix_step tokens as left factors; zeros behind the last.
template <int R>
struct weight_tiles {
  alignas(64) simd::left_terms<R> at[matrix_step / tile_depth];

  weight_tiles(token_range range, weights_view<R> w) {
    const index_t n = range.end - range.begin;
    alignas(64) float part[tile_depth * R];
    for (index_t j = 0, s = 0; j < n; j += tile_depth, ++s) {
      const float* from = w.of(range.begin + j);
      if (n - j < tile_depth) {
        std::fill(std::copy(from, from + (n - j) * R, part), part + tile_depth * R, 0.0f);
        from = part;
      }
      simd::stage_left_terms<R>(from, at[s]);
    }
  }
};

/// Columns [0, 64) of 32 tokens' values as four right factors; zeros behind the last of `left`.
struct value_tiles {
  alignas(64) std::uint16_t at[4][tile_rows][tile_depth];

  void stage(const bf16* row, index_t stride, index_t left, row_prefetcher<bf16>& ahead) {
    if (left >= tile_depth) return stage_pairs(row, stride, ahead);
    alignas(64) bf16 part[tile_depth * matrix_columns] = {};
    for (index_t t = 0; t < left; ++t)
      std::copy(row + t * stride, row + t * stride + matrix_columns, part + t * matrix_columns);
    stage_pairs(part, matrix_columns, ahead);
  }

 private:
  void stage_pairs(const bf16* row, index_t stride, row_prefetcher<bf16>& ahead) {
    for (int i = 0; i < tile_rows; ++i, row += 2 * stride) {
      ahead.next<2>();
      for (int half = 0; half < 2; ++half)
        simd::interleave(simd::load_raw<simd::uints<16>>(row + tile_depth * half),
                         simd::load_raw<simd::uints<16>>(row + stride + tile_depth * half),
                         at[2 * half][i], at[2 * half + 1][i]);
    }
  }
};

/// sums of R rows += what four tiles say of 64 columns; false, and nothing is done, where that is
/// not finite.
template <int R>
bool add_finite(const float (&tiles)[4][tile_floats], sums_view sums) {
  simd::floats<16> total[R][4];
  unsigned bad = 0;
  for (int r = 0; r < R; ++r)
    for (int k = 0; k < 4; ++k) {
      const auto row = [&](int i) { return simd::load_raw<simd::floats<16>>(tiles[k] + i * 16); };
      total[r][k] = row(r);
      for (int i = r + R; i < std::min(3 * R, 16); i += R) total[r][k] += row(i);
      bad |= simd::not_finite(total[r][k]);
    }
  if (bad != 0) return false;
  for (int r = 0; r < R; ++r) {
    simd::order_columns(total[r][0], total[r][1]);
    simd::order_columns(total[r][2], total[r][3]);
    for (int k = 0; k < 4; ++k) {
      float* const to = sums.data + r * sums.stride + k * 16;
      simd::store<16>(to, simd::load<16>(to) + total[r][k]);
    }
  }
  return true;
}

template <int R, codec E>
void add_whole_matrix(const block<E>& b, token_range range, weights_view<R> w, index_t d_v,
                      bool prefetch, sums_view sums) {
  constexpr int kept = simd::term_tiles<R>;
  row_prefetcher<bf16> none;
  for (index_t j = range.begin; j < range.end; j += matrix_step) {
    const token_range part{j, std::min(j + matrix_step, range.end)};
    const weight_tiles<R> weights(part, w);
    row_prefetcher<bf16> ahead(b.values + j * b.value_stride, b.value_stride, part.end - j, d_v,
                               prefetch);
    for (index_t c = 0; c < d_v; c += matrix_columns) {
      value_tiles values[matrix_step / tile_depth];
      for (index_t t = part.begin, s = 0; t < part.end; t += tile_depth, ++s)
        values[s].stage(b.values + t * b.value_stride + c, b.value_stride, part.end - t, ahead);
      simd::before_tile_loads();
      simd::clear_sums();
      for (index_t t = part.begin, s = 0; t < part.end; t += tile_depth, ++s) {
        simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
          simd::load_kept_tile<p>(weights.at[s][p]);
        });
        simd::each_constant<4>([&](auto k) __attribute__((always_inline)) {
          simd::load_tile(values[s].at[k], 64);
          ahead.next<8>();
          simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
            simd::multiply_kept_by<k, p>();
          });
        });
      }
      alignas(64) float tiles[4][tile_floats];
      simd::each_constant<4>([&](auto k)
                                 __attribute__((always_inline)) { simd::store_sums<k>(tiles[k]); });
      if (add_finite<R>(tiles, {sums.data + c, sums.stride})) continue;
      for (index_t k = c; k < c + matrix_columns; k += lanes)
        add_whole_columns<R, 1>(b, part, w, k, d_v, none, sums);
    }
  }
}

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
