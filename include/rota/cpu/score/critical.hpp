#pragma once

#include <algorithm>

#include <rota/core/score_key.hpp>
#include <rota/cpu/score/key_tile.hpp>
#include <rota/score/critical.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// Scratch memory of critical<Base>, beside its base's: the two are not in use at once.
struct critical_memory {
  std::int32_t* order = nullptr;  ///< [tokens]
  detail::row_buffers buffers;
  float* tiles = nullptr;  ///< [threads, d_v + row_block, tile_tokens]
  index_t d_v = 0;

  template <element E, class... Parts>
  static critical_memory carve(carver& from, const backend& b, const context<E, Parts...>& c) {
    critical_memory m;
    m.d_v = c.d_v();
    m.order = from.take<std::int32_t>(c.tokens());
    m.buffers = detail::row_buffers::carve(from, b, c);
    m.tiles = from.take<float>(b.exec.threads * (m.d_v + row_block) * tile_tokens);
    return m;
  }
  float* tile(int worker) const { return tiles + worker * (d_v + row_block) * tile_tokens; }
};

/// scores[first ..] <- (score + epsilon) * mean over query heads of |W_O v|_1 for one tile.
template <element E, class... Parts>
void weigh_tile(const context<E, Parts...>& c, index_t head, index_t first, index_t count,
                float epsilon, const critical_memory& m, int worker, float* scores) {
  float* const tile = m.tile(worker);
  float* const product = tile + m.d_v * tile_tokens;
  for (index_t t = 0; t < count; ++t) {
    const float* const row =
        detail::float_row(c.values.row(first + t, head), m.d_v, m.buffers.value(worker));
    for (index_t k = 0; k < m.d_v; ++k) tile[k * tile_tokens + t] = row[k];
  }
  for (index_t k = 0; count < tile_tokens && k < m.d_v; ++k)
    std::fill(tile + k * tile_tokens + count, tile + (k + 1) * tile_tokens, 0.0f);
  const index_t group = c.weights.extent[1] / c.kv_heads(), hidden = c.weights.extent[0];
  float norms[tile_tokens] = {};
  for (index_t a = head * group; a < (head + 1) * group; ++a)
    for (index_t begin = 0; begin < hidden; begin += row_block) {
      const float* rows[row_block];
      const int n = static_cast<int>(std::min<index_t>(row_block, hidden - begin));
      for (int r = 0; r < n; ++r) rows[r] = c.weights.row(begin + r, a);
      multiply_rows(rows, n, m.d_v, tile, product);
      for (int r = 0; r < n; ++r)
        for (index_t t = 0; t < tile_tokens; ++t)
          norms[t] += std::fabs(product[r * tile_tokens + t]);
    }
  for (index_t t = 0; t < count; ++t)
    scores[first + t] = (scores[first + t] + epsilon) * norms[t] / static_cast<float>(group);
}

/// Puts the best `count` of n scores in front of `order`, ties to the smaller index.
inline void find_best(const float* scores, index_t n, index_t count, std::int32_t* order) {
  for (index_t i = 0; i < n; ++i) order[i] = static_cast<std::int32_t>(i);
  std::nth_element(order, order + count, order + n, [scores](std::int32_t a, std::int32_t b) {
    const auto x = score_key(scores[a]), y = score_key(scores[b]);
    return x > y || (x == y && a < b);
  });
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// CriticalKV: what score_tokens() calls. Errors besides its base's: bad_parameter "keep",
/// "first_share" or "epsilon", and "weights" with bad_shape, null_view, bad_stride and
/// heads_not_divisible.
template <class Base, element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend& b, critical<Base>,
                                               const typename critical<Base>::params& p,
                                               const context<E, Parts...>& c) {
  carver count;
  score_detail::critical_memory::carve(count, b, c);
  return std::max(count.bytes(), score_tokens_workspace_bytes(b, Base{}, p.base, c));
}

template <class Base, element E, class... Parts>
status score_whole_tokens(const backend& b, critical<Base>,
                          const typename critical<Base>::params& p, const context<E, Parts...>& c,
                          const view<float, 2>& out, workspace ws) {
  namespace sd = score_detail;
  if (status s = check_critical<Base>(p, c); !s) return s;
  carver from(ws);
  const sd::critical_memory m = sd::critical_memory::carve(from, b, c);
  if (status s = from.check(); !s) return s;
  if (status s = score_tokens(b, Base{}, p.base, c, out, ws); !s) return s;

  const index_t n = c.tokens();
  const index_t first_stage = std::min(n, critical<Base>::first_stage(p));
  const index_t tiles = (n + sd::tile_tokens - 1) / sd::tile_tokens;
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    float* const scores = out.row(h);
    sd::find_best(scores, n, first_stage, m.order);
    parallel_for(b, tiles, [&](index_t i, int worker) {
      const index_t first = i * sd::tile_tokens, count = std::min(sd::tile_tokens, n - first);
      sd::weigh_tile(c, h, first, count, p.epsilon, m, worker, scores);
    });
    for (index_t i = 0; i < first_stage; ++i)
      scores[m.order[i]] = std::numeric_limits<float>::max();
  }
  return {};
}

}  // namespace rota::cpu
