#pragma once

#include <cmath>

#include <rota/core/workspace.hpp>
#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/score/softmax_rows.cuh>
#include <rota/score/lag_kv.hpp>

namespace rota::cuda {

/// Scratch memory of lag_kv.
struct lag_memory {
  float* spread = nullptr;  ///< [kv_heads, tokens], of keys, then of values
  float* shares = nullptr;  ///< [kv_heads, tokens]: mean of the two softmaxes

  template <class Context>
  static lag_memory carve(carver& from, const Context& c) {
    lag_memory m;
    m.spread = from.take<float>(c.kv_heads() * c.tokens());
    m.shares = from.take<float>(c.kv_heads() * c.tokens());
    return m;
  }
};

/// The shares of a partition's tokens, a block a (partition, kv head): its channels are threads
/// first, then a token is a warp's.
template <element E>
struct lag_shares_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;
  static constexpr int warps = threads / ptx::warp_threads;

  struct arguments {
    lag_kv::params params;
    pack_source<E> from;
    int d_k, d_v;
    lag_memory memory;
    std::uint32_t* fault;
  };

  /// The warps' parts, then of each channel the inverse span (double) and the minimum.
  static constexpr std::uint32_t parts_bytes = warps * sizeof(softmax_part);
  static std::uint32_t shared_bytes(int d_k, int d_v) {
    return parts_bytes + static_cast<std::uint32_t>(d_k > d_v ? d_k : d_v) * 12;
  }

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t n = a.from.tokens.get(a.fault), head = ptx::block_y();
    const lag_partitions partitions(a.params, n);
    if (ptx::block_x() >= partitions.count) return;
    const index_t first = partitions.sinks + ptx::block_x() * a.params.lag;
    const index_t at = head * a.from.tokens.capacity + first;
    const partition own{a.params.lag, a.memory.spread + at, a.memory.shares + at};
    own.add(a.d_k, false, [&](index_t i) { return a.from.key(first + i, head); });
    own.add(a.d_v, true, [&](index_t i) { return a.from.value(first + i, head); });
  }

 private:
  struct partition {
    index_t lag;
    float* spread;
    float* shares;

    /// Adds half of the softmax of the spread to the shares, or begins them. Rows 0 .. lag - 1 are
    /// the partition's, the next lag those of the next one.
    template <class Row>
    ROTA_DEVICE void add(int d, bool more, Row&& row) const {
      find_spans(d, row);
      ptx::sync_block();
      const softmax_row softmax = join(find_spread(d, row));
      for (index_t i = ptx::thread_index(); i < lag; i += threads) {
        const float share = 0.5f * probability(ptx::load(spread + i), softmax);
        ptx::store(shares + i, more ? ptx::load(shares + i) + share : share);
      }
    }

    ROTA_DEVICE static ptx::shared_array<softmax_part> parts() { return {ptx::shared_base()}; }
    ROTA_DEVICE static ptx::shared_array<double> inverses() {
      return {ptx::shared_base() + parts_bytes};
    }
    ROTA_DEVICE static ptx::shared_array<float> lows(int d) {
      return {ptx::shared_base() + parts_bytes + static_cast<std::uint32_t>(d) * 8};
    }

    /// The range of each channel over the next partition.
    template <class Row>
    ROTA_DEVICE void find_spans(int d, Row&& row) const {
      for (int k = static_cast<int>(ptx::thread_index()); k < d; k += threads) {
        float low = static_cast<float>(ptx::load(row(lag) + k)), high = low;
        for (index_t i = lag + 1; i < 2 * lag; ++i) {
          const float x = static_cast<float>(ptx::load(row(i) + k));
          low = x < low ? x : low;
          high = x > high ? x : high;
        }
        const float span = high - low;
        inverses().set(k, span > 0 ? 1 / static_cast<double>(span) : 0.0);
        lows(d).set(k, low);
      }
    }

    /// Writes each token's standard deviation over the channels, as a logit to base 2, and gives
    /// the warp's part of their softmax. In double, as on the CPU: what is added up is squared, and
    /// ranks tell apart what differs little.
    template <class Row>
    ROTA_DEVICE softmax_part find_spread(int d, Row&& row) const {
      softmax_part part;
      for (index_t i = ptx::warp_index(); i < lag; i += warps) {
        double sum = 0, squares = 0;
        for (int k = static_cast<int>(ptx::lane_index()); k < d; k += ptx::warp_threads) {
          const double inverse = inverses()[k];
          const float x = static_cast<float>(ptx::load(row(i) + k)) - lows(d)[k];
          // A channel that is constant over the next partition says nothing.
          const double y = inverse > 0 ? static_cast<double>(x) * inverse : 0.0;
          sum += y;
          squares += y * y;
        }
        sum = ptx::warp_sum(sum);
        squares = ptx::warp_sum(squares);
        const double variance = d > 1 ? (squares - sum * sum / d) / (d - 1) : 0.0;
        const float logit = log2_e * static_cast<float>(variance > 0 ? std::sqrt(variance) : 0.0);
        part.add(logit);
        if (ptx::lane_index() == 0) ptx::store(spread + i, logit);
      }
      return part;
    }

    /// What the warps' parts make together, for every thread; their spread is written then.
    ROTA_DEVICE static softmax_row join(const softmax_part& own) {
      if (ptx::lane_index() == 0) parts().set(static_cast<int>(ptx::warp_index()), own);
      ptx::sync_block();
      softmax_part sum;
      for (int w = 0; w < warps; ++w) sum.add(parts()[w]);
      return {sum.max, 1 / sum.sum};
    }
  };
};

/// The scores, a thread a token.
struct lag_scores_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  struct arguments {
    lag_kv::params params;
    const float* shares;
    float* out;
    index_t out_head;  ///< stride
    length_ref tokens;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t n = a.tokens.get(a.fault), head = ptx::block_y();
    const index_t token = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (token >= n) return;
    const lag_partitions partitions(a.params, n);
    const index_t i = token - partitions.sinks, lag = a.params.lag;
    const float* const shares = a.shares + head * a.tokens.capacity + partitions.sinks;
    const bool inside = i >= 0 && i < partitions.count * lag;
    float score = inside ? ptx::load(shares + i) : partitions.outside(token);
    if (inside && a.params.ranked)
      score =
          static_cast<float>(rank(shares + i / lag * lag, lag, i % lag)) / static_cast<float>(lag);
    ptx::store(a.out + head * a.out_head + token, score);
  }

 private:
  /// How many of the partition are before token `own` by (share, index).
  ROTA_DEVICE static index_t rank(const float* shares, index_t lag, index_t own) {
    const float share = ptx::load(shares + own);
    index_t before = 0;
    for (index_t j = 0; j < lag; ++j) {
      const float other = ptx::load(shares + j);
      before += other < share || (other == share && j < own);
    }
    return before;
  }
};

/// LagKV: what score_tokens() calls. Errors besides its own: bad_parameter "sinks" or "lag".
template <element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend&, lag_kv, const lag_kv::params&,
                                               const context<E, Parts...>& c) {
  carver count;
  lag_memory::carve(count, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_tokens(const backend& b, lag_kv, const lag_kv::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  if (status s = check_lag_kv(p); !s) return s;
  carver from(ws);
  const lag_memory m = lag_memory::carve(from, c);
  if (status s = from.check(); !s) return s;
  const pack_source<E> source(c);
  const int d_k = static_cast<int>(c.d_k()), d_v = static_cast<int>(c.d_v());
  using shares = lag_shares_kernel<E>;
  using scores = lag_scores_kernel;
  // Never more partitions than the most tokens have.
  const index_t partitions = lag_partitions(p, c.tokens()).count;
  if (status s = launch<shares>(b, {partitions, c.kv_heads()}, {p, source, d_k, d_v, m, b.fault},
                                shares::shared_bytes(d_k, d_v));
      !s)
    return s;
  return launch<scores>(b, {blocks_of(c.tokens(), scores::threads), c.kv_heads()},
                        {p, m.shares, out.data, out.stride[0], source.tokens, b.fault});
}

}  // namespace rota::cuda
