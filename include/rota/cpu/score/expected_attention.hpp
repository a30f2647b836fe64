#pragma once

#include <limits>

#include <rota/cpu/score/future_rope.hpp>
#include <rota/cpu/score/key_tile.hpp>
#include <rota/policy/visibility.hpp>
#include <rota/score/expected_attention.hpp>
#include <rota/score/row_norm.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

inline constexpr index_t expected_chunk = 256;

/// Scratch memory of expected_attention. Logits of all query heads are kept, [q_heads, tokens]:
/// forming them again would cost as much as all the rest.
struct expected_memory {
  index_t q_heads = 0;
  index_t outside = 0;               ///< the first tokens: sinks, and those that no query will see
  detail::rope_mean mean_rope;       ///< [pairs] each
  float* mu = nullptr;               ///< [q_heads, d], rotated, over sqrt(d)
  float* sigma = nullptr;            ///< [q_heads, d, d], rotated, over 2 d, folded; null without
  float* logits = nullptr;           ///< [q_heads, tokens]
  partial_softmax* parts = nullptr;  ///< [q_heads, chunks of a head]
  softmax_row* rows = nullptr;       ///< [q_heads]
  float* tops = nullptr;             ///< [kv_heads, chunks of a head]: largest scores
  detail::row_buffers buffers;
  float* tiles = nullptr;  ///< [threads, d + row_block + 1, tile_tokens]

  template <element E, class... Parts>
  static expected_memory carve(carver& from, const backend& b, const expected_attention::params& p,
                               const context<E, Parts...>& c) {
    expected_memory m;
    const index_t d = c.d_k();
    const index_t per_head = detail::token_chunks{c.tokens(), 1, expected_chunk}.per_head();
    m.q_heads = std::max<index_t>(0, c.mean.extent[0]);
    m.outside = std::max(p.sinks, tokens_expired(c.tokens(), c.sliding_window,
                                                 [&](index_t i) { return c.position(i); }));
    const index_t pairs = std::max<index_t>(0, c.inverse_frequencies.extent[0]);
    m.mean_rope = {from.take<double>(pairs), from.take<double>(pairs), pairs, c.pairing};
    m.mu = from.take<float>(m.q_heads * d);
    if (p.use_covariance) m.sigma = from.take<float>(m.q_heads * d * d);
    m.logits = from.take<float>(m.q_heads * c.tokens());
    m.parts = from.take<partial_softmax>(m.q_heads * per_head);
    m.rows = from.take<softmax_row>(m.q_heads);
    m.tops = from.take<float>(c.kv_heads() * per_head);
    m.buffers = detail::row_buffers::carve(from, b, c);
    m.tiles = from.take<float>(b.exec.threads * tile_floats(d));
    return m;
  }
  static index_t tile_floats(index_t d) { return (d + row_block + 1) * tile_tokens; }
  float* tile(int worker, index_t d) const { return tiles + worker * tile_floats(d); }
};

template <element E, class... Parts>
status check_expected(const expected_attention::params& p, const context<E, Parts...>& c,
                      const view<float, 2>& out) {
  if (status s = check_expected_attention(p, c); !s) return s;
  if (overlaps(range_of(out), range_of(c.mean))) return {errc::overlapping_memory, "out"};
  if (p.use_covariance && overlaps(range_of(out), range_of(c.covariance)))
    return {errc::overlapping_memory, "out"};
  return {};
}

/// k' a k with half of the products: what lies right of the blocks on the diagonal is added to its
/// mirror image, and not read again.
inline void fold_form(float* a, index_t d) {
  for (index_t i = 0; i < d; ++i)
    for (index_t j = 0; j < i / row_block * row_block; ++j) a[i * d + j] += a[j * d + i];
}

/// Rotates the moments of every query head and folds the constants of the formula into them.
template <element E, class... Parts>
void rotate_moments(const backend& b, const expected_attention::params& p,
                    const context<E, Parts...>& c, const expected_memory& m) {
  const index_t d = c.d_k();
  m.mean_rope.fill(c.inverse_frequencies, c.position(c.tokens() - 1) + index_t{1},
                   p.future_positions, c.scale);
  parallel_for(b, m.q_heads, [&](index_t q, int) {
    m.mean_rope.rotate(c.mean.row(q), 1, d, 1 / std::sqrt(static_cast<double>(d)), m.mu + q * d, 1);
    if (!p.use_covariance) return;
    float* const sigma = m.sigma + q * d * d;
    for (index_t k = 0; k < d; ++k)  // Rbar Sigma: the columns
      m.mean_rope.rotate(c.covariance.data + q * c.covariance.stride[0] + k, c.covariance.stride[1],
                         d, 0.5 / static_cast<double>(d), sigma + k, d);
    for (index_t k = 0; k < d; ++k)  // (Rbar Sigma) Rbar': the rows
      m.mean_rope.rotate(sigma + k * d, 1, d, 1, sigma + k * d, 1);
    fold_form(sigma, d);
  });
}

/// z[t] = sum over k of tile[k, t] (mu[k] + (Sigma tile)[k, t]) for a folded Sigma.
inline void expected_logits(const float* mu, const float* sigma, index_t d, const float* tile,
                            float* product, float* z) {
  std::fill_n(z, tile_tokens, 0.0f);
  if (sigma == nullptr) return multiply_rows(&mu, 1, d, tile, z);
  for (index_t first = 0; first < d; first += row_block) {
    const int count = static_cast<int>(std::min<index_t>(row_block, d - first));
    const float* rows[row_block];
    for (int r = 0; r < count; ++r) rows[r] = sigma + (first + r) * d;
    multiply_rows(rows, count, first + count, tile, product);
    for (index_t t = 0; t < tile_tokens; t += lanes) {
      native sum = simd::load<lanes>(z + t);
      for (int r = 0; r < count; ++r) {
        const native weight = simd::load<lanes>(product + r * tile_tokens + t) + mu[first + r];
        sum =
            simd::fma<lanes>(simd::load<lanes>(tile + (first + r) * tile_tokens + t), weight, sum);
      }
      simd::store<lanes>(z + t, sum);
    }
  }
}

/// Logits of a chunk for the query heads of its kv head, and their part of the softmax.
template <element E, class... Parts>
void expected_chunk_logits(const context<E, Parts...>& c, const expected_memory& m,
                           const detail::token_chunk& chunk, index_t per_head, int worker) {
  const index_t d = c.d_k(), group = m.q_heads / c.kv_heads();
  float* const tile = m.tile(worker, d);
  float* const product = tile + d * tile_tokens;
  float* const z = product + row_block * tile_tokens;
  for (index_t first = chunk.first; first < chunk.last; first += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - first);
    load_key_tile(c, chunk.head, first, count, tile);
    for (index_t q = chunk.head * group; q < (chunk.head + 1) * group; ++q) {
      expected_logits(m.mu + q * d, m.sigma ? m.sigma + q * d * d : nullptr, d, tile, product, z);
      std::copy_n(z, count, m.logits + q * c.tokens() + first);
    }
  }
  const index_t start = std::min(chunk.last, std::max(chunk.first, m.outside));
  for (index_t q = chunk.head * group; q < (chunk.head + 1) * group; ++q) {
    partial_softmax part;
    if (start < chunk.last) part.add(m.logits + q * c.tokens() + start, chunk.last - start);
    m.parts[q * per_head + chunk.number] = part;
  }
}

/// Scores of the tokens of a chunk that are in the softmax; returns the largest.
template <element E, class... Parts>
float expected_chunk_scores(const expected_attention::params& p, const context<E, Parts...>& c,
                            const expected_memory& m, const detail::token_chunk& chunk, float* out,
                            int worker) {
  const index_t group = m.q_heads / c.kv_heads();
  float top = 0;
  for (index_t i = std::max(chunk.first, m.outside); i < chunk.last; i += tile_tokens) {
    const index_t count = std::min(tile_tokens, chunk.last - i);
    float mass[tile_tokens] = {}, logits[tile_tokens] = {};
    for (index_t q = chunk.head * group; q < (chunk.head + 1) * group; ++q) {
      std::copy_n(m.logits + q * c.tokens() + i, count, logits);
      add_exp(logits, count, m.rows[q].max, m.rows[q].inverse, mass);
    }
    for (index_t t = 0; t < count; ++t) {
      float score = mass[t] / static_cast<float>(group);
      if (p.use_value_norm) {
        const float* const value =
            detail::float_row(c.values.row(i + t, chunk.head), c.d_v(), m.buffers.value(worker));
        score = (score + p.epsilon) * row_norm(value, static_cast<int>(c.d_v()));
      }
      out[i + t] = score;
      top = score > top ? score : top;
    }
  }
  return top;
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// Expected Attention: what score_tokens() calls. Errors besides its own: bad_parameter, and the
/// parts' names with bad_shape, null_view, bad_stride and heads_not_divisible.
template <element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend& b, expected_attention,
                                               const expected_attention::params& p,
                                               const context<E, Parts...>& c) {
  carver count;
  score_detail::expected_memory::carve(count, b, p, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_tokens(const backend& b, expected_attention, const expected_attention::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  namespace sd = score_detail;
  if (status s = sd::check_expected(p, c, out); !s) return s;
  carver from(ws);
  const sd::expected_memory m = sd::expected_memory::carve(from, b, p, c);
  if (status s = from.check(); !s) return s;
  if (c.tokens() == 0) return {};

  const detail::token_chunks chunks{c.tokens(), c.kv_heads(), sd::expected_chunk};
  const index_t per_head = chunks.per_head();
  sd::rotate_moments(b, p, c, m);
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    sd::expected_chunk_logits(c, m, chunks.at(i), per_head, worker);
  });
  for (index_t q = 0; q < m.q_heads; ++q) m.rows[q] = sd::join(m.parts + q * per_head, per_head, 1);
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const detail::token_chunk chunk = chunks.at(i);
    m.tops[i] = sd::expected_chunk_scores(p, c, m, chunk, out.row(chunk.head), worker);
  });
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    const float top = sd::row_max(m.tops + h * per_head, per_head);
    // Finite, and above every finite score of the head.
    constexpr float limit = std::numeric_limits<float>::max();
    const float sink = top < limit ? std::nextafter(top, limit) : limit;
    std::fill_n(out.row(h), std::min(m.outside, c.tokens()), 0.0f);
    std::fill_n(out.row(h), std::min(p.sinks, c.tokens()), sink);
  }
  return {};
}

}  // namespace rota::cpu
