#pragma once

#include <rota/core/score_key.hpp>
#include <rota/cpu/select/count_stage.hpp>

namespace rota::cpu::detail {

inline void mark_everything(const backend& b, const select_memory& m) {
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    for (index_t w = 0; w < words_per_chunk; ++w) {
      const index_t left = c.last - c.first - w * 64;
      m.survivors[i * words_per_chunk + w] = left >= 64 ? ~std::uint64_t{0}
                                             : left > 0 ? (std::uint64_t{1} << left) - 1
                                                        : 0;
    }
  });
}

/// Sets the survivor bits of a chunk.
inline void mark_chunk(const select_memory& m, const select_chunk& c, floored_cut at) {
  const float* const scores = c.layer->scores.tokens.row(c.head);
  const index_t first_ranked = c.layer->first_ranked(), last_ranked = c.layer->last_ranked();
  for (index_t w = 0; w < words_per_chunk; ++w) {
    std::uint64_t word = 0;
    const index_t base = c.first + w * 64;
    for (index_t i = base; i < std::min(c.last, base + 64); ++i) {
      const bool guarded = i < first_ranked || i >= last_ranked;
      if (guarded || at.keeps(score_key(scores[i]))) word |= std::uint64_t{1} << (i - base);
    }
    m.survivors[c.number * words_per_chunk + w] = word;
  }
}

/// Decides who survives: fills m.survivors. An error leaves the outputs alone.
inline status select_tokens(const backend& b, const select_memory& m, const budget_rule& rule) {
  if (!rule.selects()) {
    mark_everything(b, m);
    return {};
  }
  const auto for_each_key = [&](index_t i, auto&& f) {
    const select_chunk c = m.map.chunk(i);
    const float* const scores = c.layer->scores.tokens.row(c.head);
    const index_t last = std::min(c.last, c.layer->last_ranked());
    for (index_t j = std::max(c.first, c.layer->first_ranked()); j < last; ++j)
      f(score_key(scores[j]));
  };
  const auto items_of = [&](index_t row) -> row_items {
    const select_layer& l = m.map.layer_of_row(row);
    return {l.problem.tokens, l.problem.tokens, l.protected_tokens()};
  };
  if (rule.counts()) {
    if (status s = solve_quotas(m, rule, "tokens", items_of); !s) return s;
    cut_by_quotas(b, m, rule, for_each_key, items_of);
  } else {
    cut_by_threshold(m, rule);
  }
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    mark_chunk(m, c, cut_of(m, rule, c));
  });
  return {};
}

}  // namespace rota::cpu::detail
