#pragma once

#include <rota/core/score_key.hpp>
#include <rota/cpu/select/memory.hpp>
#include <rota/cpu/select/rule.hpp>

namespace rota::cpu::detail {

/// How many items a counting budget may take besides the protected ones. It counts all `items`, of
/// which `available` can be had.
inline status solve_quota(const budget_rule& rule, index_t items, index_t available,
                          index_t guarded, const char* argument, index_t& quota) {
  const index_t count = rule.count(items);
  if (count < 0) return {errc::bad_count, argument};
  if (count < guarded) return {errc::budget_too_small, argument};
  quota = std::min(count, available) - guarded;
  return {};
}

/// Writes the quota of every unit of tokens into its cut.
inline status token_quotas(const select_memory& m, const budget_rule& rule) {
  for (index_t u = 0; u < m.map.units(rule.scope); ++u) {
    const select_unit unit = m.map.unit(rule.scope, u);
    index_t items = 0, guarded = 0;
    for (index_t r = unit.first_row; r < unit.last_row; ++r) {
      const select_layer& l = m.map.layer_of_row(r);
      items += l.problem.tokens;
      guarded += l.protected_tokens();
    }
    if (status s = solve_quota(rule, items, items, guarded, "tokens", m.cuts[u].ties); !s) return s;
  }
  return {};
}

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

/// Sets the survivor bits of a chunk from its unit's cut.
inline void mark_chunk(const select_memory& m, const select_chunk& c, const cut& at) {
  const float* const scores = c.layer->scores.tokens.row(c.head);
  const index_t first_ranked = c.layer->first_ranked(), last_ranked = c.layer->last_ranked();
  index_t rank = m.ties[c.number];
  for (index_t w = 0; w < words_per_chunk; ++w) {
    std::uint64_t word = 0;
    const index_t base = c.first + w * 64;
    for (index_t i = base; i < std::min(c.last, base + 64); ++i) {
      const bool guarded = i < first_ranked || i >= last_ranked;
      if (guarded || at.keeps(score_key(scores[i]), rank)) word |= std::uint64_t{1} << (i - base);
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
  const auto ranked_tokens = [&](const select_unit& unit) {
    index_t ranked = 0;
    for (index_t r = unit.first_row; r < unit.last_row; ++r) {
      const select_layer& l = m.map.layer_of_row(r);
      ranked += l.problem.tokens - l.protected_tokens();
    }
    return ranked;
  };
  // A threshold decides each token alone: any scope will do.
  const budget_scope scope = rule.scope == budget_scope::row ? budget_scope::head : rule.scope;
  if (rule.counts()) {
    if (status s = token_quotas(m, rule); !s) return s;
    find_cuts(b, m, scope, for_each_key, ranked_tokens);
  } else {
    std::fill_n(m.cuts, m.map.units(scope), cut::from_threshold(rule.key));
  }
  rank_ties(b, m, scope, for_each_key);
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    mark_chunk(m, c, m.cuts[m.map.unit_of(scope, c)]);
  });
  return {};
}

}  // namespace rota::cpu::detail
