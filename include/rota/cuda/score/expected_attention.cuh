#pragma once

#include <rota/cuda/product/tile.cuh>
#include <rota/cuda/score/fill_above.cuh>
#include <rota/cuda/score/future_rope.cuh>
#include <rota/cuda/score/rows.cuh>
#include <rota/cuda/score/softmax_rows.cuh>
#include <rota/score/expected_attention.hpp>
#include <rota/score/row_norm.hpp>

namespace rota::cuda {

/// Scratch memory of expected_attention. Logits of all query heads are kept, [q_heads, tokens]:
/// forming them again would cost as much as all the rest.
struct expected_memory {
  index_t q_heads = 0, tiles = 0;
  rope_pair* rope = nullptr;      ///< [pairs]
  float* mu = nullptr;            ///< [q_heads, d]
  split_rows sigma;               ///< [q_heads][d, d]
  float* logits = nullptr;        ///< [q_heads, tokens], to base 2
  softmax_part* parts = nullptr;  ///< [q_heads, tiles]
  softmax_row* rows = nullptr;    ///< [q_heads]

  template <class Context>
  static expected_memory carve(carver& from, const Context& c) {
    expected_memory m;
    const index_t d = c.d_k();
    m.q_heads = c.mean.extent[0];
    m.tiles = blocks_of(c.tokens(), split_rows::tile);
    m.rope = from.take<rope_pair>(c.inverse_frequencies.extent[0]);
    m.mu = from.take<float>(m.q_heads * d);
    m.sigma = split_rows::carve(from, m.q_heads, d, d);
    m.logits = from.take<float>(m.q_heads * c.tokens());
    m.parts = from.take<softmax_part>(m.q_heads * m.tiles);
    m.rows = from.take<softmax_row>(m.q_heads);
    return m;
  }
};

/// Logits of 64 tokens for a query head, z = k' (mu + Sigma k), and their part of the softmax,
/// sinks left out. Sigma k on the matrix unit.
template <element E>
struct expected_logits_kernel {
  using product = product_tile<E>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;
  static constexpr std::uint32_t logits_at = product::shared_bytes;
  static constexpr std::uint32_t shared_bytes = logits_at + product::tokens * sizeof(float);

  struct arguments {
    pack_source<E> from;
    index_t group, sinks, sliding_window;
    int d;
    const float* mu;
    split_rows sigma;
    float* logits;
    softmax_part* parts;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t first = index_t{ptx::block_x()} * product::tokens, q = ptx::block_y();
    const index_t left = a.from.tokens.get(a.fault) - first;
    const int count =
        left <= 0 ? 0 : static_cast<int>(left < product::tokens ? left : product::tokens);
    float z[2] = {0, 0};
    for (index_t row = 0; count > 0 && row < a.d; row += split_rows::tile)
      add_rows(a, q, first, count, row, z);
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      z[half] += ptx::shuffle_xor(z[half], 1);
      z[half] += ptx::shuffle_xor(z[half], 2);
    }
    write(a, q, first, count, z);
  }

 private:
  /// Adds rows row .. row + 63 of the form to the lane's two tokens.
  ROTA_DEVICE static void add_rows(const arguments& a, index_t q, index_t first, int count,
                                   index_t row, float (&z)[2]) {
    const index_t head = q / a.group;
    product_fragments<> sums;
    product{ptx::shared_base()}.multiply(
        sums, [&](int j) { return a.from.key(first + j, head); }, count, a.sigma, q, row);
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int token = product_fragments<>::token(half);
      if (token >= count) continue;
      const E* const key = a.from.key(first + token, head);
      ROTA_UNROLL
      for (int j = 0; j < 8; ++j) {
        ROTA_UNROLL
        for (int k = 0; k < 2; ++k) {
          const index_t own = row + product_fragments<>::row(j, k);
          if (own < a.d)
            z[half] += static_cast<float>(ptx::load(key + own)) *
                       (ptx::load(a.mu + q * a.d + own) + sums.c[j][2 * half + k]);
        }
      }
    }
  }

  ROTA_DEVICE static void write(const arguments& a, index_t q, index_t first, int count,
                                const float (&z)[2]) {
    const ptx::shared_array<float> logits{ptx::shared_base() + logits_at};
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int token = product_fragments<>::token(half);
      if (ptx::lane_index() % 4 != 0) continue;
      logits.set(token, z[half] * log2_e);
      if (token < count)
        ptx::store(a.logits + q * a.from.tokens.capacity + first + token, z[half] * log2_e);
    }
    ptx::sync_block();
    if (ptx::warp_index() != 0) return;
    softmax_part part;
    const index_t expired = a.from.expired(a.from.tokens.get(a.fault), a.sliding_window);
    for (int j = static_cast<int>(ptx::lane_index()); j < count; j += ptx::warp_threads)
      if (first + j >= a.sinks && first + j >= expired) part.add(logits[j]);
    ROTA_UNROLL
    for (int step = 1; step < ptx::warp_threads; step *= 2) part.add_lane(step);
    if (ptx::lane_index() == 0) ptx::store(a.parts + q * ptx::blocks_x() + ptx::block_x(), part);
  }
};

/// Scores from logits, a thread a token. Sinks get theirs later.
template <element E>
struct expected_scores_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 2;
  using block = score_block<E, false, true>;

  struct arguments {
    pack_source<E> from;
    int d_k, d_v;
    index_t kv_heads, group;
    const float* logits;
    const softmax_row* rows;
    bool use_value_norm;
    float epsilon;
    index_t sliding_window;
    float* out;
    index_t out_head;  ///< stride
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const block own(a.from, a.d_k, a.d_v, a.kv_heads, ptx::shared_base(), a.fault);
    if (!own.has_token()) return;
    if (own.token.index < a.from.expired(own.token.tokens, a.sliding_window)) {
      ptx::store(a.out + own.head * a.out_head + own.token.index, 0.0f);
      return;
    }
    float mass = 0;
    for (index_t q = own.head * a.group; q < (own.head + 1) * a.group; ++q)
      mass += probability(ptx::load(a.logits + q * a.from.tokens.capacity + own.token.index),
                          ptx::load(a.rows + q));
    float score = mass / static_cast<float>(a.group);
    if (a.use_value_norm) score = (score + a.epsilon) * row_norm(own.token.value, a.d_v);
    ptx::store(a.out + own.head * a.out_head + own.token.index, score);
  }
};

/// Rotates the moments of every query head and folds the constants of the formula into them.
template <class Context>
status rotate_moments(const backend& b, const expected_attention::params& p, const Context& c,
                      const expected_memory& m) {
  const index_t d = c.d_k(), pairs = c.inverse_frequencies.extent[0];
  const mean_rope rope{m.rope, pairs, c.pairing};
  const length_ref tokens{c.tokens(), c.device_tokens};
  if (status s = launch<mean_rope_kernel>(b, {1},
                                          {c.inverse_frequencies.data, pairs, p.future_positions,
                                           c.scale, c.positions.data, tokens, m.rope, b.fault});
      !s)
    return s;
  if (status s =
          launch<rotate_means_kernel>(b, {m.q_heads},
                                      {c.mean.data, c.mean.stride[0], d, rope,
                                       1 / std::sqrt(static_cast<double>(d)), m.mu, b.fault});
      !s)
    return s;
  rotated_covariance sigma{nullptr, 0, 0, rope, 0.5 / static_cast<double>(d)};
  if (p.use_covariance) {
    sigma.data = c.covariance.data;
    sigma.head_stride = c.covariance.stride[0];
    sigma.row_stride = c.covariance.stride[1];
  }
  return launch_split(b, m.q_heads, sigma, m.sigma);
}

/// Expected Attention: what score_tokens() calls. Errors besides its own: bad_parameter, and the
/// parts' names with bad_shape, null_view, bad_stride, wrong_memory and heads_not_divisible.
template <element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend&, expected_attention,
                                               const expected_attention::params& p,
                                               const context<E, Parts...>& c) {
  if (!check_expected_attention(p, c)) return 0;
  carver count;
  expected_memory::carve(count, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_tokens(const backend& b, expected_attention, const expected_attention::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  if (status s = check_expected_attention(p, c); !s) return s;
  if (status s = check_rows(b, c.mean, alignof(float), "mean"); !s) return s;
  if (p.use_covariance)
    if (status s = check_rows(b, c.covariance, alignof(float), "covariance"); !s) return s;
  if (status s = check_rows(b, c.inverse_frequencies, alignof(float), "inverse_frequencies"); !s)
    return s;
  carver from(ws);
  const expected_memory m = expected_memory::carve(from, c);
  if (status s = from.check(); !s) return s;

  const pack_source<E> source(c);
  const int d_k = static_cast<int>(c.d_k()), d_v = static_cast<int>(c.d_v());
  const index_t group = m.q_heads / c.kv_heads();
  using logits = expected_logits_kernel<E>;
  using scores = expected_scores_kernel<E>;
  if (status s = rotate_moments(b, p, c, m); !s) return s;
  if (status s = launch<logits>(b, {m.tiles, m.q_heads},
                                {source, group, p.sinks, c.sliding_window, d_k, m.mu, m.sigma,
                                 m.logits, m.parts, b.fault},
                                logits::shared_bytes);
      !s)
    return s;
  if (status s = launch_join(b, 1, {m.parts, m.q_heads, m.tiles, m.tiles, 1, m.rows, b.fault}); !s)
    return s;
  if (status s =
          launch<scores>(b, {blocks_of(c.tokens(), scores::threads), c.kv_heads()},
                         {source, d_k, d_v, c.kv_heads(), group, m.logits, m.rows, p.use_value_norm,
                          p.epsilon, c.sliding_window, out.data, out.stride[0], b.fault},
                         scores::block::shared_bytes(d_k, d_v));
      !s)
    return s;
  if (p.sinks == 0) return {};
  return launch_fill_above(b, c.kv_heads(),
                           {out.data, out.stride[0], p.sinks, 0, nullptr, source.tokens, b.fault});
}

}  // namespace rota::cuda
