#pragma once

#include <rota/cpu/attend/logits.hpp>

// Scores of a wide set: a vector holds one number of each row. Queries lie column by column, keys
// are broadcast, and no sum goes across lanes.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Columns of keys that are made floats at once: few enough to stay in the nearest cache.
inline constexpr index_t wide_columns = 64;

/// Tokens of a step: one sum each.
inline constexpr int wide_step = simd::accumulators;

/// Columns [0, n) of a key as floats.
template <class E>
void widen_columns(const E* from, index_t n, float* to) {
  index_t c = 0;
  for (; c + lanes <= n; c += lanes) simd::store<lanes>(to + c, simd::load<lanes>(from + c));
  if (c < n) simd::store<lanes>(to + c, simd::load_part<lanes>(from + c, n - c));
}

/// sum[t] += key_t . q of each row over n columns; `keys` has a row of wide_columns a token.
[[gnu::always_inline]] inline void add_wide_products(const float* keys, const float* q, index_t n,
                                                     native (&sum)[wide_step]) {
  for (index_t c = 0; c < n; ++c) {
    const native rows = simd::load<lanes>(q + c * lanes);
    unroll<wide_step>([&](int t) __attribute__((always_inline)) {
      sum[t] = simd::fma<lanes>(simd::broadcast<lanes>(keys[t * wide_columns + c]), rows, sum[t]);
    });
  }
}

/// As logits() for lanes rows whose queries `q` are [d_k][lanes].
template <codec C>
void wide_logits(const block<C>& b, token_range range, const float* q, index_t d_k, bool prefetch,
                 float* const out) {
  alignas(64) float keys[wide_step * wide_columns];
  float* to = out;
  for (index_t j = range.begin; j < range.end; j += wide_step, to += wide_step * lanes) {
    const auto row = [&](int t) {
      return b.keys + std::min<index_t>(j + t, range.end - 1) * b.key_stride;
    };
    if (prefetch)
      for (int t = 0; t < wide_step; ++t) prefetch_ahead(row(t), d_k);
    native sum[wide_step];
    unroll<wide_step>([&](int t) __attribute__((always_inline)) { sum[t] = native{}; });
    for (index_t c = 0; c < d_k; c += wide_columns) {
      const index_t n = std::min(wide_columns, d_k - c);
      for (int t = 0; t < wide_step; ++t) widen_columns(row(t) + c, n, keys + t * wide_columns);
      add_wide_products(keys, q + c * lanes, n, sum);
    }
    unroll<wide_step>([&](int t) __attribute__((always_inline)) {
      simd::store<lanes>(to + t * lanes, sum[t]);
    });
  }
  if constexpr (codec_traits<C>::sizes.key_scale > 0)
    scale_logits<lanes>(b.key_scales + range.begin, range.end - range.begin, out);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
