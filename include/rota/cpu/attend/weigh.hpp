#pragma once

#include <rota/cpu/attend/values.hpp>
#include <rota/store/packed.hpp>

// Chooses the kernel for a block's value order and group width, and counts kept weight per group.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Group width where the type of the store fixes it, so that only one kernel is compiled; 0: it is
/// known at run time.
template <class Store>
inline constexpr index_t fixed_width = 0;
template <codec E, int W>
inline constexpr index_t fixed_width<packed_store<E, W>> = W;

/// The widest vector of which `width` elements are a multiple.
constexpr int lanes_for(index_t width) {
  return lanes >= 16 && width % 16 == 0 ? 16 : lanes >= 8 && width % 8 == 0 ? 8 : 4;
}
constexpr int vectors_for(index_t width, int n) {
  return width % (4 * n) == 0 ? 4 : width % (2 * n) == 0 ? 2 : 1;
}

template <int R, int N, int C, codec E>
void add_slices(const block<E>& b, token_range range, weights_view<R> w, index_t d_v, index_t width,
                row_prefetcher<value_type_of<E>>& ahead, sums_view sums) {
  if (b.order == value_order::group_major)
    add_group_major<R, N, C>(b, range, w, d_v, width, ahead, sums);
  else
    add_token_major<R, N, C>(b, range, w, width, ahead, sums);
}

/// Adds the weighted values of the tokens in the range to R rows of sums.
template <index_t FixedWidth, int R, codec E>
void add_values(const block<E>& b, token_range range, weights_view<R> w, index_t d_v, index_t width,
                row_prefetcher<value_type_of<E>>& ahead, sums_view sums) {
  if (b.order == value_order::whole) return add_whole<R>(b, range, w, d_v, width, ahead, sums);
  if constexpr (FixedWidth > 0) {
    constexpr int N = lanes_for(FixedWidth);
    add_slices<R, N, vectors_for(FixedWidth, N)>(b, range, w, d_v, FixedWidth, ahead, sums);
  } else {
    // A store of unknown width is rare: two kernels serve all of them.
    if (width % lanes == 0)
      add_slices<R, lanes, 1>(b, range, w, d_v, width, ahead, sums);
    else
      add_slices<R, 4, 1>(b, range, w, d_v, width, ahead, sums);
  }
}

/// kept[r] += the weights of the listed tokens.
template <int R>
void add_listed(const std::uint8_t* token, const std::uint8_t* end, weights_view<R> w,
                float* kept) {
  using row = simd::floats<R>;
  constexpr int U = 4;  // sums at once: one would wait for itself
  row sum[U] = {};
  for (; end - token >= U; token += U)
    unroll<U>([&](int u) __attribute__((always_inline)) {
      sum[u] += simd::load_raw<row>(w.of(token[u]));
    });
  for (; token != end; ++token) sum[0] += simd::load_raw<row>(w.of(*token));
  simd::store_raw(kept, simd::load_raw<row>(kept) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
}

/// kept[s * R + r] += the weight of the tokens in the range that have group s.
template <int R, codec E>
void add_kept(const block<E>& b, token_range range, weights_view<R> w, index_t groups,
              float* kept) {
  if (b.order == value_order::group_major) {
    for (index_t s = 0; s < groups; ++s) {
      const token_range list = list_of(b, s, range);
      add_listed<R>(b.members + list.begin, b.members + list.end, w, kept + s * R);
    }
    return;
  }
  float whole[R] = {};
  for (index_t j = range.begin; j < range.end; ++j) {
    if (b.order == value_order::whole) {
      for (int r = 0; r < R; ++r) whole[r] += w.at(j, r);
      continue;
    }
    for (unsigned left = b.masks[j]; left != 0; left &= left - 1)
      for (int r = 0; r < R; ++r) kept[__builtin_ctz(left) * R + r] += w.at(j, r);
  }
  if (b.order != value_order::whole) return;
  for (index_t s = 0; s < groups; ++s)
    for (int r = 0; r < R; ++r) kept[s * R + r] += whole[r];
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
