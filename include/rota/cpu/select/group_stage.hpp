#pragma once

#include <bit>

#include <rota/cpu/select/row_stage.hpp>
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

/// The groups of one row. A budget counts every group of every survivor, those dropped earlier
/// too: a ratio means the same however often a store is re-routed.
inline row_items groups_of_row(const select_memory& m, index_t row) {
  const select_unit unit = m.map.unit(budget_scope::head, row);
  row_items sum;
  for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) {
    sum.all += m.survivors_of(i) * m.map.chunk(i).layer->problem.groups;
    sum.available += m.items[i];
    sum.guarded += m.guarded[i];
  }
  return sum;
}

/// Decides the cuts of all units of groups. An error leaves the outputs alone.
inline status cut_groups(const backend& b, const select_memory& m, const budget_rule& rule) {
  if (!rule.selects()) return {};
  if (rule.by_type()) return check_types(m, rule);
  if (rule.by_row()) return rule.counts() ? check_row_counts(m, rule) : status{};
  if (!rule.counts()) {
    cut_by_threshold(m, rule);
    return {};
  }
  const auto for_each_key = [&](index_t i, auto&& f) {
    const select_chunk c = m.map.chunk(i);
    m.for_survivors(c, [&](index_t j) {
      if (j < c.layer->first_ranked() || j >= c.layer->last_ranked()) return;
      const float* const scores = c.layer->scores.groups.row(c.head, j);
      for (unsigned left = c.layer->available(c.head, j); left != 0; left &= left - 1)
        f(score_key(scores[std::countr_zero(left)]));
    });
  };
  const auto items_of = [&](index_t row) { return groups_of_row(m, row); };
  count_groups(b, m);
  if (status s = solve_quotas(m, rule, "groups", items_of); !s) return s;
  cut_by_quotas(b, m, rule, for_each_key, items_of);
  return {};
}

/// Calls f(token, mask) for each survivor of a chunk, ascending.
template <class F>
void for_masks(const select_memory& m, const budget_rule& rule, const select_chunk& c, F&& f) {
  const select_layer& l = *c.layer;
  const bool by_row = rule.by_row();
  floored_cut at;
  if (rule.selects() && !by_row) at = cut_of(m, rule, c);
  m.for_survivors(c, [&](index_t j) {
    const group_mask available = l.available(c.head, j);
    group_mask mask = available;
    if (rule.selects() && j >= l.first_ranked() && j < l.last_ranked()) {
      const float* const scores = l.scores.groups.row(c.head, j);
      if (by_row) {
        mask = select_row(rule, scores, available, l.problem, j);
      } else {
        for (unsigned left = available; left != 0; left &= left - 1) {
          const int g = std::countr_zero(left);
          if (!at.keeps(score_key(scores[g]))) mask = static_cast<group_mask>(mask & ~(1u << g));
        }
      }
    }
    f(j, mask);
  });
}

}  // namespace rota::cpu::detail
