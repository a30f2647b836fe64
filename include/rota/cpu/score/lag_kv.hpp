#pragma once

#include <algorithm>

#include <rota/cpu/score/column_mass.hpp>
#include <rota/score/lag_kv.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// Scratch memory of a worker for one partition.
struct lag_memory {
  float* low = nullptr;           ///< [d]: minimum of each channel over the next partition
  float* span = nullptr;          ///< [d]: maximum less minimum
  float* spread = nullptr;        ///< [lag]
  std::int32_t* order = nullptr;  ///< [lag]
  detail::row_buffers buffers;

  template <element E, class... Parts>
  static lag_memory carve(carver& from, const backend& b, const lag_kv::params& p,
                          const context<E, Parts...>& c) {
    const index_t d = std::max(c.d_k(), c.d_v()), lag = std::clamp<index_t>(p.lag, 1, c.tokens());
    lag_memory m;
    m.low = from.take<float>(b.exec.threads * d);
    m.span = from.take<float>(b.exec.threads * d);
    m.spread = from.take<float>(b.exec.threads * lag);
    m.order = from.take<std::int32_t>(b.exec.threads * lag);
    m.buffers = detail::row_buffers::carve(from, b, c);
    return m;
  }
  /// The part of one worker.
  lag_memory of(int worker, index_t d, index_t lag) const {
    return {low + worker * d, span + worker * d, spread + worker * lag, order + worker * lag,
            buffers};
  }
};

/// spread[i] of the `lag` rows from `first` on: the standard deviation over the channels, each
/// normalised by the rows of the next partition. row(i) gives row i as floats.
template <class Row>
void lag_spread(index_t first, index_t lag, index_t d, const lag_memory& m, Row&& row) {
  std::copy_n(row(first + lag), d, m.low);
  std::copy_n(m.low, d, m.span);
  for (index_t i = first + lag + 1; i < first + 2 * lag; ++i) {
    const float* const x = row(i);
    for (index_t k = 0; k < d; ++k) {
      m.low[k] = std::min(m.low[k], x[k]);
      m.span[k] = std::max(m.span[k], x[k]);
    }
  }
  for (index_t k = 0; k < d; ++k) m.span[k] -= m.low[k];
  for (index_t i = 0; i < lag; ++i) {
    const float* const x = row(first + i);
    double sum = 0, squares = 0;
    for (index_t k = 0; k < d; ++k) {
      // A channel that is constant over the next partition says nothing.
      const double y = m.span[k] > 0 ? double{x[k] - m.low[k]} / double{m.span[k]} : 0.0;
      sum += y;
      squares += y * y;
    }
    const double n = static_cast<double>(d);
    const double variance = d > 1 ? std::max(0.0, (squares - sum * sum / n) / (n - 1)) : 0.0;
    m.spread[i] = static_cast<float>(std::sqrt(variance));
  }
}

/// out[i] += weight * softmax of spread.
inline void add_softmax(const float* spread, index_t n, float weight, float* out) {
  const float top = row_max(spread, n);
  float sum = 0;
  for (index_t i = 0; i < n; ++i) sum += std::exp(spread[i] - top);
  for (index_t i = 0; i < n; ++i) out[i] += weight * std::exp(spread[i] - top) / sum;
}

/// x_i <- how many of the n are before it by (value, index), over n.
inline void rank_scores(float* x, index_t n, std::int32_t* order) {
  for (index_t i = 0; i < n; ++i) order[i] = static_cast<std::int32_t>(i);
  std::sort(order, order + n, [x](std::int32_t a, std::int32_t b) {
    return x[a] < x[b] || (!(x[b] < x[a]) && a < b);
  });
  // The order is complete before the values that made it are overwritten.
  for (index_t rank = 0; rank < n; ++rank)
    x[order[rank]] = static_cast<float>(rank) / static_cast<float>(n);
}

/// Scores of partition `number` of a head, of those that have a next one.
template <element E, class... Parts>
void lag_partition(const lag_kv::params& p, const context<E, Parts...>& c, index_t head,
                   index_t number, const lag_memory& m, int worker, float* scores) {
  const index_t first = p.sinks + number * p.lag;
  float* const out = scores + first;
  std::fill_n(out, p.lag, 0.0f);
  lag_spread(first, p.lag, c.d_k(), m, [&](index_t i) {
    return detail::float_row(c.keys.row(i, head), c.d_k(), m.buffers.key(worker));
  });
  add_softmax(m.spread, p.lag, 0.5f, out);
  lag_spread(first, p.lag, c.d_v(), m, [&](index_t i) {
    return detail::float_row(c.values.row(i, head), c.d_v(), m.buffers.value(worker));
  });
  add_softmax(m.spread, p.lag, 0.5f, out);
  if (p.ranked) rank_scores(out, p.lag, m.order);
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// LagKV: what score_tokens() calls. Errors besides its own: bad_parameter "sinks" or "lag".
template <element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend& b, lag_kv, const lag_kv::params& p,
                                               const context<E, Parts...>& c) {
  if (c.tokens() == 0) return 0;
  carver count;
  score_detail::lag_memory::carve(count, b, p, c);
  return count.bytes();
}

template <element E, class... Parts>
status score_whole_tokens(const backend& b, lag_kv, const lag_kv::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  namespace sd = score_detail;
  if (status s = check_lag_kv(p); !s) return s;
  if (c.tokens() == 0) return {};
  carver from(ws);
  const sd::lag_memory m = sd::lag_memory::carve(from, b, p, c);
  if (status s = from.check(); !s) return s;

  const index_t n = c.tokens();
  const lag_partitions parts(p, n);
  const index_t scored = parts.sinks + parts.count * p.lag;
  for (index_t h = 0; h < c.kv_heads(); ++h)
    for (index_t i = 0; i < n; ++i)
      if (i < parts.sinks || i >= scored) out(h, i) = parts.outside(i);
  const index_t d = std::max(c.d_k(), c.d_v()), lag = std::clamp<index_t>(p.lag, 1, n);
  parallel_for(b, parts.count * c.kv_heads(), [&](index_t i, int worker) {
    const index_t head = i / parts.count;
    sd::lag_partition(p, c, head, i % parts.count, m.of(worker, d, lag), worker, out.row(head));
  });
  return {};
}

}  // namespace rota::cpu
