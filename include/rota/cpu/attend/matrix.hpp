#pragma once

#include <rota/cpu/attend/sets.hpp>
#include <rota/cpu/attend/values.hpp>
#include <rota/cpu/simd/tiles.hpp>

// Scores and weighted sums on the matrix unit: keys and values of bf16 as they lie, queries and
// weights as sums of bf16 (simd/tiles.hpp). What is not finite is left to the vector kernels,
// because a term that is zero times infinity is not what a float would give; and nothing else is,
// so that a row is the same to the bit whatever other rows are or a token holds that it does not
// see.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

using simd::tile_depth;
using simd::tile_rows;

/// Tokens whose keys, and columns whose values, are multiplied at once: as many as the unit has
/// sums.
inline constexpr index_t matrix_tokens = 4 * tile_rows;
inline constexpr index_t matrix_columns = 4 * tile_depth;

/// Fewer query rows than this are faster without the unit.
inline constexpr int least_matrix_set = 4;

/// Whether keys, or whole rows of values, can go through the unit, R rows at once.
template <int R, class E>
inline constexpr bool suits_matrix_unit =
    simd::has_matrix_unit&& R >= least_matrix_set&& std::is_same_v<E, bf16>;

/// Whether anything of a codec's rows can.
template <codec C>
inline constexpr bool uses_matrix_unit = suits_matrix_unit<least_matrix_set, key_type_of<C>> ||
                                         suits_matrix_unit<least_matrix_set, value_type_of<C>>;

/// How many bf16 a query and a weight are the sum of.
struct matrix_terms {
  int query = 3;
  int weight = 2;
};

/// Terms that queries and outputs of Io demand: what comes as bf16 is one, and so is what is
/// rounded to bf16 in the end. The same for all Io where nothing goes through the unit.
template <class Io, codec C>
constexpr matrix_terms terms_of() {
  return uses_matrix_unit<C> && std::is_same_v<Io, bf16> ? matrix_terms{1, 1} : matrix_terms{};
}

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

/// As add_whole() for 4 or 8 rows, rows of bf16 and d_v a multiple of tile_depth. Of 16 rows see
/// value_tiles.hpp.
template <int R, int Terms, codec E>
void add_whole_matrix(const block<E>& b, token_range range, weights_view<R> w, index_t d_v,
                      row_prefetcher<bf16>& ahead, sums_view sums);

#if defined(ROTA_CPU_AMX)

inline constexpr index_t tile_floats = simd::tile_bytes / 4;
using tile_sums = float[4][tile_floats];

inline void store_all(tile_sums& sums) {
  simd::each_constant<4>([&](auto k)
                             __attribute__((always_inline)) { simd::store_sums<k>(sums[k]); });
}

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

/// Columns [0, 32) of 16 rows; zeros behind the last of `left`. load(rows, bytes between them).
template <class Load>
void load_rows(const bf16* row, index_t stride, index_t left, Load load) {
  if (left >= tile_rows) return load(row, stride * static_cast<index_t>(sizeof(bf16)));
  alignas(64) bf16 part[tile_rows * tile_depth] = {};
  for (index_t t = 0; t < left; ++t)
    std::memcpy(static_cast<void*>(part + t * tile_depth), row + t * stride,
                tile_depth * sizeof(bf16));
  simd::before_tile_loads();
  load(part, 64);
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

/// The weights of a tile's tokens as factors; zeros behind the last.
template <int R, int Terms>
struct staged_weights {
  alignas(64) simd::weight_factors<R, Terms> at[tile_capacity / tile_rows];

  staged_weights(token_range range, weights_view<R> w) {
    alignas(64) float part[tile_rows * R];
    for (index_t j = range.begin, s = 0; j < range.end; j += tile_rows, ++s) {
      const float* from = w.of(j);
      const index_t left = range.end - j;
      if (left < tile_rows) {
        std::fill(std::copy(from, from + left * R, part), part + tile_rows * R, 0.0f);
        from = part;
      }
      simd::stage_weights<R, Terms>(from, at[s]);
    }
  }
};

/// sums += the products of 16 tokens' weights and n columns: the weights' tiles stay, values come
/// once.
template <int R, int Terms>
void multiply_values(const bf16* row, index_t stride, index_t left, index_t n,
                     const simd::weight_factors<R, Terms>& weights, row_prefetcher<bf16>& ahead) {
  constexpr int kept = std::extent_v<simd::weight_factors<R, Terms>>;
  simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
    simd::load_kept_tile<p>(weights[p]);
  });
  simd::each_constant<4>([&](auto k) __attribute__((always_inline)) {
    if (k * tile_depth >= n) return;
    load_rows(row + k * tile_depth, stride, left, simd::load_tile);
    ahead.next<tile_rows>();
    simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
      simd::multiply_kept_by<k, p>();
    });
  });
}

/// The sums of n columns over some tokens.
template <int R, int Terms>
void sum_values(const bf16* row, index_t stride, index_t tokens, index_t n,
                const staged_weights<R, Terms>& weights, row_prefetcher<bf16>& ahead,
                tile_sums& sums) {
  simd::before_tile_loads();
  simd::clear_sums();
  for (index_t s = 0; s * tile_rows < tokens; ++s, row += tile_rows * stride) {
    multiply_values<R, Terms>(row, stride, tokens - s * tile_rows, n, weights.at[s], ahead);
  }
  store_all(sums);
}

/// Columns [32 k, 32 k + 32) of row r as they come out of the unit, even ones and odd ones.
template <int R>
simd::floats<16> sum_of(const tile_sums& sums, int k, int r, int parity) {
  const auto row = [&](int tile, int i) {
    return simd::load_raw<simd::floats<16>>(sums[tile] + i * 16);
  };
  if constexpr (R == 8) return row(k, 8 * parity + r);
  if constexpr (R == 4) return row(k, 8 * parity + r) + row(k, 8 * parity + 4 + r);
}

/// sums of row r += n columns; false, and nothing is done, where one is not finite.
template <int R>
bool add_finite(const tile_sums& tiles, index_t n, int r, float* sums) {
  simd::finite_check check;
  for (int k = 0; k * tile_depth < n; ++k)
    for (int parity = 0; parity < 2; ++parity) check.see(sum_of<R>(tiles, k, r, parity));
  if (!check.all_finite()) return false;
  for (int k = 0; k * tile_depth < n; ++k)
    simd::store_columns(sum_of<R>(tiles, k, r, 0), sum_of<R>(tiles, k, r, 1),
                        sums + k * tile_depth);
  return true;
}

template <int R, int Terms, codec E>
void add_whole_matrix(const block<E>& b, token_range range, weights_view<R> w, index_t d_v,
                      row_prefetcher<bf16>& ahead, sums_view sums) {
  row_prefetcher<bf16> none;
  const bf16* const row = b.values + range.begin * b.value_stride;
  const staged_weights<R, Terms> weights(range, w);
  for (index_t c = 0; c < d_v; c += matrix_columns) {
    const index_t n = std::min(matrix_columns, d_v - c);
    alignas(64) tile_sums tiles;
    sum_values<R, Terms>(row + c, b.value_stride, range.end - range.begin, n, weights, ahead,
                         tiles);
    for (int r = 0; r < R; ++r) {
      float* const row_sums = sums.data + r * sums.stride;
      if (add_finite<R>(tiles, n, r, row_sums + c)) continue;
      for (index_t k = c; k < c + n; k += lanes)
        add_whole_columns<1, 1>(b, range, {w.p + r, w.first, R}, k, d_v, none, {row_sums, 0});
    }
  }
}

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
