#pragma once

#include <bit>

#include <rota/core/score_key.hpp>
#include <rota/cpu/select/memory.hpp>
#include <rota/cpu/select/rule.hpp>

// Budgets that decide each token's groups alone.

namespace rota::cpu::detail {

/// A row budget's counts may not be negative, whatever a token's number of groups.
inline status check_row_counts(const select_memory& m, const budget_rule& rule) {
  for (index_t l = 0; l < m.map.layer_count; ++l) {
    const select_problem& p = m.map.layers[l].problem;
    for (index_t h = 0; h < p.kv_heads; ++h)
      for (index_t items = 0; items <= max_groups; ++items)
        if (rule.count(items, p.place_of(h)) < 0) return {errc::bad_count, "groups"};
  }
  return {};
}

/// Every token is of one of the rule's types.
inline status check_types(const select_memory& m, const budget_rule& rule) {
  for (index_t l = 0; l < m.map.layer_count; ++l) {
    const select_problem& p = m.map.layers[l].problem;
    for (index_t i = 0; p.types.data != nullptr && i < p.tokens; ++i)
      if (p.types(i) >= rule.types) return {errc::bad_parameter, "types"};
  }
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

/// Writes the available scores that are not NaN, best first; returns how many.
inline int sort_row(const float* scores, group_mask available, float* descending) {
  int n = 0;
  for (unsigned left = available; left != 0; left &= left - 1) {
    const float score = scores[std::countr_zero(left)];
    if (score != score) continue;
    int at = n++;
    for (; at > 0 && descending[at - 1] < score; --at) descending[at] = descending[at - 1];
    descending[at] = score;
  }
  return n;
}

/// What a budget by row keeps of token i of a head of a problem, absent groups counted.
inline group_mask select_row(const budget_rule& rule, const float* scores, group_mask available,
                             const select_problem& p, index_t head, index_t i) {
  if (rule.by_type())
    return best_of_row(scores, available, rule.count_of_type(rule.params, p.groups, p.type_of(i)));
  if (rule.counts()) return best_of_row(scores, available, rule.count(p.groups, p.place_of(head)));
  float descending[max_groups];
  const int n = sort_row(scores, available, descending);
  const int k = rule.row_count_of(rule.params, descending, n);
  // NaN ranks last, so it is never among the best n.
  return best_of_row(scores, available, std::min(k, n));
}

}  // namespace rota::cpu::detail
