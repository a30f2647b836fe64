#pragma once

#include <algorithm>

#include <rota/cpu/score/rows.hpp>
#include <rota/policy/concepts.hpp>
#include <rota/score/reads.hpp>

namespace rota::cpu::detail {

/// Sums of a reduced scorer: one run of floats for each chunk, which the chunks of a head then
/// add up to in their order.
struct reduced_memory {
  row_buffers rows;
  float* sums = nullptr;  ///< [chunks, width]
  index_t width = 0;

  template <class Scorer, element E, class... Parts>
  static reduced_memory carve(carver& from, const backend& b, const typename Scorer::params& p,
                              const context<E, Parts...>& c) {
    reduced_memory m;
    m.rows = row_buffers::carve(from, b, c);
    m.width =
        std::max<index_t>(0, Scorer::sums(p, static_cast<int>(c.d_k()), static_cast<int>(c.d_v())));
    m.sums = from.take<float>(token_chunks{c.tokens(), c.kv_heads()}.count() * m.width);
    return m;
  }
};

template <class Scorer, element E, class... Parts>
void score_reduced_tokens(const backend& b, const typename Scorer::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out,
                          const reduced_memory& m) {
  constexpr bool keys = reads_keys<Scorer>(), values = reads_values<Scorer>();
  const token_chunks chunks{c.tokens(), c.kv_heads()};
  const index_t per_head = chunks.per_head();

  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const token_chunk chunk = chunks.at(i);
    float* const sums = m.sums + i * m.width;
    std::fill_n(sums, m.width, 0.0f);
    token_ref t = head_ref(c, chunk.head);
    for (index_t j = chunk.first; j < chunk.last; ++j) {
      move_to<keys, values>(t, c, j, m.rows, worker);
      Scorer::accumulate(p, t, sums);
    }
  });

  parallel_for(b, per_head > 0 ? c.kv_heads() : 0, [&](index_t head, int) {
    float* const total = m.sums + head * per_head * m.width;
    for (index_t n = 1; n < per_head; ++n)
      for (index_t k = 0; k < m.width; ++k) total[k] += total[n * m.width + k];
    Scorer::finish(p, head_ref(c, head), total);
  });

  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const token_chunk chunk = chunks.at(i);
    const float* const done = m.sums + chunk.head * per_head * m.width;
    token_ref t = head_ref(c, chunk.head);
    for (index_t j = chunk.first; j < chunk.last; ++j) {
      move_to<keys, values>(t, c, j, m.rows, worker);
      out.row(chunk.head)[j] = Scorer::score(p, t, done);
    }
  });
}

}  // namespace rota::cpu::detail
