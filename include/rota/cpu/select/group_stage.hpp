#pragma once

#include <bit>

#include <rota/cpu/select/token_stage.hpp>

namespace rota::cpu::detail {

/// Fills m.items and m.guarded: the groups that the survivors have, and how many of them belong to
/// protected tokens.
inline void count_groups(const backend& b, const select_memory& m) {
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    index_t items = 0, guarded = 0;
    m.for_survivors(c, [&](index_t j) {
      const int groups = std::popcount(c.layer->available(c.head, j));
      items += groups;
      if (j < c.layer->first_ranked() || j >= c.layer->last_ranked()) guarded += groups;
    });
    m.items[i] = items;
    m.guarded[i] = guarded;
  });
}

/// Writes the quota of every unit of groups into its cut. The budget counts every group of every
/// survivor, those dropped earlier too: a ratio means the same however often a store is re-routed.
inline status group_quotas(const select_memory& m, const budget_rule& rule) {
  for (index_t u = 0; u < m.map.units(rule.scope); ++u) {
    const select_unit unit = m.map.unit(rule.scope, u);
    index_t all = 0, available = 0, guarded = 0;
    for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) {
      all += m.survivors_of(i) * m.map.chunk(i).layer->problem.groups;
      available += m.items[i];
      guarded += m.guarded[i];
    }
    if (status s = solve_quota(rule, all, available, guarded, "groups", m.cuts[u].ties); !s)
      return s;
  }
  return {};
}

/// A row budget's counts may not be negative, whatever a token's number of groups.
inline status check_row_counts(const budget_rule& rule) {
  for (index_t items = 0; items <= max_groups; ++items)
    if (rule.count(items) < 0) return {errc::bad_count, "groups"};
  return {};
}

/// The best k of one token's available groups.
inline group_mask best_of_row(const float* scores, group_mask available, index_t k) {
  if (k >= std::popcount(available)) return available;
  // The key, then the smaller group; absent groups lose to all others.
  std::uint64_t rank[max_groups] = {};
  for (int g = 0; g < max_groups; ++g)
    if (available >> g & 1)
      rank[g] = (std::uint64_t{score_key(scores[g])} + 1) * max_groups +
                static_cast<std::uint64_t>(max_groups - 1 - g);
  group_mask best = 0;
  for (int g = 0; g < max_groups; ++g) {
    index_t better = 0;
    for (int other = 0; other < max_groups; ++other) better += rank[other] > rank[g];
    if (rank[g] != 0 && better < k) best = static_cast<group_mask>(best | 1u << g);
  }
  return best;
}

/// Decides the cuts of all units of groups. An error leaves the outputs alone.
inline status cut_groups(const backend& b, const select_memory& m, const budget_rule& rule) {
  if (!rule.selects()) return {};
  const bool counts = rule.counts();
  if (counts && rule.scope == budget_scope::row) return check_row_counts(rule);
  const auto for_each_key = [&](index_t i, auto&& f) {
    const select_chunk c = m.map.chunk(i);
    m.for_survivors(c, [&](index_t j) {
      if (j < c.layer->first_ranked() || j >= c.layer->last_ranked()) return;
      const float* const scores = c.layer->scores.groups.row(c.head, j);
      for (unsigned left = c.layer->available(c.head, j); left != 0; left &= left - 1)
        f(score_key(scores[std::countr_zero(left)]));
    });
  };
  if (!counts) {
    std::fill_n(m.cuts, m.map.units(rule.scope), cut::from_threshold(rule.key));
    std::fill_n(m.ties, m.map.chunks, index_t{0});
    return {};
  }
  count_groups(b, m);
  if (status s = group_quotas(m, rule); !s) return s;
  find_cuts(b, m, rule.scope, for_each_key, [&](const select_unit& unit) {
    index_t ranked = 0;
    for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i)
      ranked += m.items[i] - m.guarded[i];
    return ranked;
  });
  rank_ties(b, m, rule.scope, for_each_key);
  return {};
}

/// Calls f(token, mask) for each survivor of a chunk, ascending.
template <class F>
void for_masks(const select_memory& m, const budget_rule& rule, const select_chunk& c, F&& f) {
  const select_layer& l = *c.layer;
  const bool by_row = rule.counts() && rule.scope == budget_scope::row;
  const bool by_cut = rule.selects() && !by_row;
  const cut at = by_cut ? m.cuts[m.map.unit_of(rule.scope, c)] : cut::keep_all();
  index_t rank = by_cut ? m.ties[c.number] : 0;
  m.for_survivors(c, [&](index_t j) {
    const group_mask available = l.available(c.head, j);
    group_mask mask = available;
    if (rule.selects() && j >= l.first_ranked() && j < l.last_ranked()) {
      const float* const scores = l.scores.groups.row(c.head, j);
      if (by_row) {
        mask = best_of_row(scores, available, rule.count(l.problem.groups));
      } else {
        for (unsigned left = available; left != 0; left &= left - 1) {
          const int g = std::countr_zero(left);
          if (!at.keeps(score_key(scores[g]), rank))
            mask = static_cast<group_mask>(mask & ~(1u << g));
        }
      }
    }
    f(j, mask);
  });
}

}  // namespace rota::cpu::detail
