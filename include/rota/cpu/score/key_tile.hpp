#pragma once

#include <cmath>
#include <limits>

#include <rota/cpu/score/rows.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/exp.hpp>
#include <rota/cpu/simd/transpose.hpp>

// Rows of floats times the keys of 64 tokens: what the whole-head scorers spend their time on.

namespace rota::cpu::inline ROTA_CPU_ISA::score_detail {

using simd::lanes;
using simd::native;

/// Tokens of a tile. Its keys are transposed, so that tokens fill the lanes of a vector and sums
/// over channels need no reduction.
inline constexpr index_t tile_tokens = 64;
/// Rows that multiply_rows() takes at once; two vectors of running sums for each.
inline constexpr int row_block = simd::accumulators / 2;

/// tile [d, tile_tokens] receives rows row_of(0) .. row_of(count - 1) of d elements, transposed,
/// zero behind them.
template <class RowOf>
void load_tile(RowOf&& row_of, index_t count, index_t d, float* tile) {
  index_t t = 0;
  for (; t + lanes <= count; t += lanes) {
    index_t k = 0;
    for (; k + lanes <= d; k += lanes) {
      native square[lanes];
      simd::unroll<lanes>([&](int i) __attribute__((always_inline)) {
        square[i] = simd::load<lanes>(row_of(t + i) + k);
      });
      simd::transpose(square);
      simd::unroll<lanes>([&](int i) __attribute__((always_inline)) {
        simd::store<lanes>(tile + (k + i) * tile_tokens + t, square[i]);
      });
    }
    for (; k < d; ++k)
      for (int i = 0; i < lanes; ++i)
        tile[k * tile_tokens + t + i] = static_cast<float>(row_of(t + i)[k]);
  }
  for (; t < count; ++t)
    for (index_t k = 0; k < d; ++k) tile[k * tile_tokens + t] = static_cast<float>(row_of(t)[k]);
  for (index_t k = 0; count < tile_tokens && k < d; ++k)
    std::fill(tile + k * tile_tokens + count, tile + (k + 1) * tile_tokens, 0.0f);
}

/// The keys of `count` tokens as a tile.
template <element E, class... Parts>
void load_key_tile(const context<E, Parts...>& c, index_t head, index_t first, index_t count,
                   float* tile) {
  load_tile([&](index_t t) { return c.keys.row(first + t, head); }, count, c.d_k(), tile);
}

/// out[r, t] = sum over k of rows[r][k] * tile[k, t] for R rows: [R, tile_tokens].
template <int R>
void multiply_block(const float* const* rows, index_t d, const float* tile, float* out) {
  for (index_t t = 0; t < tile_tokens; t += 2 * lanes) {
    native sum[R][2] = {};
    for (index_t k = 0; k < d; ++k) {
      const native a = simd::load<lanes>(tile + k * tile_tokens + t);
      const native b = simd::load<lanes>(tile + k * tile_tokens + t + lanes);
      for (int r = 0; r < R; ++r) {
        const native x = simd::broadcast<lanes>(rows[r][k]);
        sum[r][0] = simd::fma<lanes>(x, a, sum[r][0]);
        sum[r][1] = simd::fma<lanes>(x, b, sum[r][1]);
      }
    }
    for (int r = 0; r < R; ++r) {
      simd::store<lanes>(out + r * tile_tokens + t, sum[r][0]);
      simd::store<lanes>(out + r * tile_tokens + t + lanes, sum[r][1]);
    }
  }
}

/// The same for up to row_block rows.
inline void multiply_rows(const float* const* rows, int count, index_t d, const float* tile,
                          float* out) {
  if (count == row_block) return multiply_block<row_block>(rows, d, tile, out);
  for (int r = 0; r < count; ++r) multiply_block<1>(rows + r, d, tile, out + r * tile_tokens);
}

inline float largest(native v) {
  float top = v[0];
  for (int l = 1; l < lanes; ++l) top = v[l] > top ? v[l] : top;
  return top;
}

inline float total(native v) {
  float part[lanes];
  simd::store<lanes>(part, v);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) part[l] += part[l + half];
  return part[0];
}

/// Largest of n floats, NaN left out; -inf for none. n may be anything.
inline float row_max(const float* x, index_t n) {
  constexpr float none = -std::numeric_limits<float>::infinity();
  native top = simd::broadcast<lanes>(none);
  index_t i = 0;
  for (; i + lanes <= n; i += lanes) top = simd::max<lanes>(simd::load<lanes>(x + i), top);
  float result = largest(top);
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

/// Sum of exp(x - top) over n floats.
inline float row_sum_exp(const float* x, index_t n, float top) {
  const native shift = simd::broadcast<lanes>(top);
  native sum = {};
  index_t i = 0;
  for (; i + lanes <= n; i += lanes) sum += simd::exp<lanes>(simd::load<lanes>(x + i) - shift);
  if (i < n) {
    float last[lanes];
    for (int l = 0; l < lanes; ++l) last[l] = i + l < n ? x[i + l] - top : -1e30f;
    sum += simd::exp<lanes>(simd::load<lanes>(last));
  }
  return total(sum);
}

/// sums[i] += factor * exp(x[i] - top). Reads and writes whole vectors: up to lanes - 1 floats
/// behind n.
inline void add_exp(const float* x, index_t n, float top, float factor, float* sums) {
  const native shift = simd::broadcast<lanes>(top);
  const native scale = simd::broadcast<lanes>(factor);
  for (index_t i = 0; i < n; i += lanes) {
    const native p = simd::exp<lanes>(simd::load<lanes>(x + i) - shift);
    simd::store<lanes>(sums + i, simd::fma<lanes>(p, scale, simd::load<lanes>(sums + i)));
  }
}

/// Part of a softmax row: the largest logit and the sum of exponentials below it.
struct partial_softmax {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0;

  void add(const float* logits, index_t n) {
    const float top = std::max(max, row_max(logits, n));
    // Nothing before is exactly 0; a NaN goes on.
    const float before = sum != 0 ? sum * std::exp(max - top) : 0.0f;
    sum = before + row_sum_exp(logits, n, top);
    max = top;
  }
};

/// A whole softmax row: p = exp(logit - max) * inverse.
struct softmax_row {
  float max = 0;
  float inverse = 0;
};

/// Joins parts in their order; `stride` lies between the parts of one row.
inline softmax_row join(const partial_softmax* parts, index_t count, index_t stride) {
  partial_softmax all;
  for (index_t i = 0; i < count; ++i) all.max = std::max(all.max, parts[i * stride].max);
  double sum = 0;
  for (index_t i = 0; i < count; ++i) {
    const partial_softmax& p = parts[i * stride];
    // A part of which nothing was seen; NaN sums go on.
    if (p.sum != 0) sum += double{p.sum} * std::exp(double{p.max} - double{all.max});
  }
  return {all.max, static_cast<float>(1 / sum)};
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::score_detail
