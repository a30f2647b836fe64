#pragma once

#include <algorithm>
#include <cmath>

#include <rota/core/types.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/unroll.hpp>

// The products of a projection and its adapter: a few tokens times a few rows of weights.

namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail {

using simd::lanes;
using simd::native;

/// Tokens and weight rows that are worked on at once: as many sums as stay in registers.
inline constexpr int down_tokens = 2, up_tokens = 4;
inline constexpr int row_block = simd::accumulators / down_tokens;
inline constexpr int up_vectors = simd::accumulators / up_tokens;

/// out[t * stride + r] += x_t . w_r over `count` channels, for T tokens and R rows.
template <int T, int R, element E>
[[gnu::always_inline]] inline void add_dots(const float* const* x, const E* const* w, index_t first,
                                            index_t count, float* out, index_t stride) {
  // Whole sets of lanes, as the reduction at the end takes them; the idle ones cost nothing.
  constexpr int sets = (T * R + lanes - 1) / lanes;
  native sum[sets * lanes] = {};
  const auto add = [&](auto&& load_x, auto&& load_w) __attribute__((always_inline)) {
    native xs[T];
    simd::unroll<T>([&](int t) __attribute__((always_inline)) { xs[t] = load_x(x[t] + first); });
    simd::unroll<R>([&](int r) __attribute__((always_inline)) {
      const native ws = load_w(w[r] + first);
      simd::unroll<T>([&](int t) __attribute__((always_inline)) {
        sum[t * R + r] = simd::fma<lanes>(xs[t], ws, sum[t * R + r]);
      });
    });
  };
  const index_t end = first + count;
  for (; first + lanes <= end; first += lanes) {
    const auto whole = [](const auto* p) __attribute__((always_inline)) {
      return simd::load<lanes>(p);
    };
    add(whole, whole);
  }
  if (first < end) {
    const auto part = [&](const auto* p) { return simd::load_part<lanes>(p, end - first); };
    add(part, part);
  }
  float total[sets * lanes];
  for (int i = 0; i < sets; ++i)
    simd::store<lanes>(total + i * lanes, simd::horizontal_sums(sum + i * lanes));
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < R; ++r) out[t * stride + r] += total[t * R + r];
}

/// The same for any number of rows.
template <int T, element E>
void add_row_dots(const float* const* x, const view<const E, 2>& w, index_t first, index_t count,
                  float* out, index_t stride) {
  const index_t rows = w.extent[0];
  index_t r = 0;
  for (; r + row_block <= rows; r += row_block) {
    const E* block[row_block];
    for (int i = 0; i < row_block; ++i) block[i] = w.row(r + i);
    add_dots<T, row_block>(x, block, first, count, out + r, stride);
  }
  for (; r < rows; ++r) {
    const E* const row = w.row(r);
    add_dots<T, 1>(x, &row, first, count, out + r, stride);
  }
}

/// out[t * stride + r] += x_t . w_r for `tokens` rows x and all rows of w, channels [first, last).
template <element E>
void add_down(const float* const* x, index_t tokens, const view<const E, 2>& w, index_t first,
              index_t last, float* out, index_t stride) {
  index_t t = 0;
  for (; t + down_tokens <= tokens; t += down_tokens)
    add_row_dots<down_tokens>(x + t, w, first, last - first, out + t * stride, stride);
  for (; t < tokens; ++t) add_row_dots<1>(x + t, w, first, last - first, out + t * stride, stride);
}

/// y_t[j] += sum over r of c[t * rows + r] * w_r[j], for T tokens and the V vectors at j.
template <int T, int V, element E>
[[gnu::always_inline]] inline void add_columns(float* const* y, const float* c,
                                               const view<const E, 2>& w, index_t j) {
  const index_t rows = w.extent[0];
  native sum[T * V];
  simd::unroll<T, V>([&](int t, int v) __attribute__((always_inline)) {
    sum[t * V + v] = simd::load<lanes>(y[t] + j + v * lanes);
  });
  for (index_t r = 0; r < rows; ++r) {
    native ws[V];
    simd::unroll<V>([&](int v) __attribute__((always_inline)) {
      ws[v] = simd::load<lanes>(w.row(r) + j + v * lanes);
    });
    simd::unroll<T>([&](int t) __attribute__((always_inline)) {
      const native a = simd::broadcast<lanes>(c[t * rows + r]);
      simd::unroll<V>([&](int v) __attribute__((always_inline)) {
        sum[t * V + v] = simd::fma<lanes>(a, ws[v], sum[t * V + v]);
      });
    });
  }
  simd::unroll<T, V>([&](int t, int v) __attribute__((always_inline)) {
    simd::store<lanes>(y[t] + j + v * lanes, sum[t * V + v]);
  });
}

/// Columns [first, last) of T tokens.
template <int T, element E>
void add_up_block(float* const* y, const float* c, const view<const E, 2>& w, index_t first,
                  index_t last) {
  index_t j = first;
  for (; j + up_vectors * lanes <= last; j += up_vectors * lanes)
    add_columns<T, up_vectors>(y, c, w, j);
  for (; j + lanes <= last; j += lanes) add_columns<T, 1>(y, c, w, j);
  for (; j < last; ++j)
    for (int t = 0; t < T; ++t) {
      float sum = y[t][j];
      for (index_t r = 0; r < w.extent[0]; ++r)
        sum = std::fma(c[t * w.extent[0] + r], static_cast<float>(w(r, j)), sum);
      y[t][j] = sum;
    }
}

/// y_t += c_t w for `tokens` rows y; c [tokens, rows], w [rows, out]; columns [first, last).
template <element E>
void add_up(float* const* y, index_t tokens, const float* c, const view<const E, 2>& w,
            index_t first, index_t last) {
  index_t t = 0;
  for (; t + up_tokens <= tokens; t += up_tokens)
    add_up_block<up_tokens>(y + t, c + t * w.extent[0], w, first, last);
  for (; t < tokens; ++t) add_up_block<1>(y + t, c + t * w.extent[0], w, first, last);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail
