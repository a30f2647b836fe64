#pragma once

#include <rota/cpu/attend/matrix.hpp>
#include <rota/cpu/attend/values.hpp>

// Weighted sums on the matrix unit: values of bf16 as they lie, weights as sums of bf16. Of several
// sets of 16 rows see value_tiles.hpp.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Tiles of columns whose values are multiplied at once: as many as the unit has sums, of which 16
/// rows take one for even columns and one for odd ones.
template <int R>
inline constexpr int column_tiles = R == 16 ? 2 : 4;

/// Tokens whose values are added before the sums leave the unit: as many as there are, but the
/// factors of 16 rows' weights are as large as values and are to stay in the nearest cache.
template <int R>
inline constexpr index_t most_value_tokens = R == 16 ? 64 : tile_capacity;

/// As add_whole() for rows of bf16 and d_v a multiple of tile_depth.
template <int R, int Terms, codec E>
void add_whole_matrix(const block<E>& b, token_range range, weights_view<R> w, index_t d_v,
                      row_prefetcher<bf16>& ahead, sums_view sums);

#if defined(ROTA_CPU_AMX)

/// The weights of up to most_value_tokens tokens as factors; zeros behind the last.
template <int R, int Terms>
struct staged_weights {
  alignas(64) simd::weight_factors<R, Terms> at[most_value_tokens<R> / tile_rows];

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

/// The sums of n columns for up to eight rows: the weights' tiles stay, values come once.
template <int R, int Terms>
void multiply_values(const bf16* row, index_t stride, index_t left, index_t n,
                     const simd::weight_factors<R, Terms>& weights, row_prefetcher<bf16>& ahead) {
  constexpr int kept = std::extent_v<simd::weight_factors<R, Terms>, 1>;
  simd::each_constant<kept>([&](auto p) __attribute__((always_inline)) {
    simd::load_kept_tile<p>(weights[0][p]);
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

/// The same for 16 rows: values stay, and weights come for each parity and term. So values, which
/// are further away, come once too.
template <int Terms>
void multiply_values_by_16(const bf16* row, index_t stride, index_t left, index_t n,
                           const simd::weight_factors<16, Terms>& weights,
                           row_prefetcher<bf16>& ahead) {
  const auto each_tile = [&](auto f) __attribute__((always_inline)) {
    simd::each_constant<2>([&](auto k) __attribute__((always_inline)) {
      if (k * tile_depth < n) f(k);
    });
  };
  each_tile([&](auto k) __attribute__((always_inline)) {
    load_rows(row + k * tile_depth, stride, left, simd::load_kept_tile<k>);
    ahead.next<tile_rows>();
  });
  simd::each_constant<2>([&](auto parity) __attribute__((always_inline)) {
    for (const auto& term : weights[parity]) {
      simd::load_tile(term, 64);
      each_tile([&](auto k) __attribute__((always_inline)) {
        simd::multiply_by_kept<2 * parity + k, k>();
      });
    }
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
    const index_t left = tokens - s * tile_rows;
    if constexpr (R == 16)
      multiply_values_by_16<Terms>(row, stride, left, n, weights.at[s], ahead);
    else
      multiply_values<R, Terms>(row, stride, left, n, weights.at[s], ahead);
  }
  store_all(sums);
}

/// Columns [32 k, 32 k + 32) of row r as they come out of the unit, even ones and odd ones.
template <int R>
simd::floats<16> sum_of(const tile_sums& sums, int k, int r, int parity) {
  const auto row = [&](int tile, int i) {
    return simd::load_raw<simd::floats<16>>(sums[tile] + i * 16);
  };
  if constexpr (R == 16) return row(2 * parity + k, r);
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
  for (index_t j = range.begin; j < range.end; j += most_value_tokens<R>) {
    const token_range part{j, std::min(j + most_value_tokens<R>, range.end)};
    const index_t tokens = part.end - j;
    const bf16* const row = b.values + j * b.value_stride;
    const staged_weights<R, Terms> weights(part, w);
    constexpr index_t columns = column_tiles<R> * tile_depth;
    for (index_t c = 0; c < d_v; c += columns) {
      const index_t n = std::min(columns, d_v - c);
      alignas(64) tile_sums tiles;
      sum_values<R, Terms>(row + c, b.value_stride, tokens, n, weights, ahead, tiles);
      for (int r = 0; r < R; ++r) {
        float* const row_sums = sums.data + r * sums.stride;
        if (add_finite<R>(tiles, n, r, row_sums + c)) continue;
        for (index_t k = c; k < c + n; k += lanes)
          add_whole_columns<1, 1>(b, part, {w.p + r, w.first, R}, k, d_v, none, {row_sums, 0});
      }
    }
  }
}

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
