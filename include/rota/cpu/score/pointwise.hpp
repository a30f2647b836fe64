#pragma once

#include <rota/cpu/score/rows.hpp>
#include <rota/policy/concepts.hpp>
#include <rota/score/reads.hpp>

namespace rota::cpu::detail {

template <class Scorer, element E, class... Parts>
void score_pointwise_tokens(const backend& b, const typename Scorer::params& p,
                            const context<E, Parts...>& c, const view<float, 2>& out,
                            const row_buffers& rows) {
  const token_chunks chunks{c.tokens(), c.kv_heads()};
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const token_chunk chunk = chunks.at(i);
    token_ref t = head_ref(c, chunk.head);
    float* const scores = out.row(chunk.head);
    for (index_t j = chunk.first; j < chunk.last; ++j) {
      move_to<reads_keys<Scorer>(), reads_values<Scorer>()>(t, c, j, rows, worker);
      scores[j] = Scorer::score(p, t);
    }
  });
}

template <class Scorer, element E, class... Parts>
void score_pointwise_groups(const backend& b, const typename Scorer::params& p,
                            const context<E, Parts...>& c, int width, const view<float, 3>& out,
                            const row_buffers& rows) {
  const token_chunks chunks{c.tokens(), c.kv_heads()};
  parallel_for(b, chunks.count(), [&](index_t i, int worker) {
    const token_chunk chunk = chunks.at(i);
    group_ref g;
    g.token = head_ref(c, chunk.head);
    g.width = width;
    g.groups = static_cast<int>(out.extent[2]);
    for (index_t j = chunk.first; j < chunk.last; ++j) {
      move_to<reads_keys<Scorer>(), true>(g.token, c, j, rows, worker);
      float* const scores = out.row(chunk.head, j);
      for (g.group = 0; g.group < g.groups; ++g.group) {
        g.slice = g.token.value + g.group * width;
        scores[g.group] = Scorer::score(p, g);
      }
    }
  });
}

}  // namespace rota::cpu::detail
