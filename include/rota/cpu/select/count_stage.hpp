#pragma once

#include <rota/cpu/select/memory.hpp>
#include <rota/cpu/select/rule.hpp>

// What the two levels share under a counting budget: how many items each scope keeps, and where
// that cuts the ranking. An item is a token, or a group of a survivor.

namespace rota::cpu::detail {

/// Items of one row.
struct row_items {
  index_t all = 0;        ///< what a budget counts
  index_t available = 0;  ///< those that can be had
  index_t guarded = 0;    ///< those of protected tokens, available too

  index_t ranked() const { return available - guarded; }
};

/// Writes the floors of a unit's rows and adds up what they take.
template <class ItemsOf>
status floor_quotas(const select_memory& m, const budget_rule& rule, const select_unit& unit,
                    index_t count, const char* argument, ItemsOf&& items_of, index_t& taken) {
  const index_t floor = rule.floor(count, unit.last_row - unit.first_row);
  if (floor < 0) return {errc::bad_count, argument};
  for (index_t r = unit.first_row; r < unit.last_row; ++r) {
    const row_items row = items_of(r);
    m.floor_quotas[r] = std::clamp<index_t>(floor - row.guarded, 0, row.ranked());
    taken += m.floor_quotas[r];
  }
  return {};
}

/// Writes the quota of every unit: how many it keeps besides the protected items and the floors.
template <class ItemsOf>
status solve_quotas(const select_memory& m, const budget_rule& rule, const char* argument,
                    ItemsOf&& items_of) {
  for (index_t u = 0; u < m.map.units(rule.scope); ++u) {
    const select_unit unit = m.map.unit(rule.scope, u);
    row_items sum;
    for (index_t r = unit.first_row; r < unit.last_row; ++r) {
      const row_items row = items_of(r);
      sum.all += row.all;
      sum.available += row.available;
      sum.guarded += row.guarded;
    }
    const index_t count = rule.count(sum.all, m.map.layer_of_row(unit.first_row).problem.place);
    if (count < 0) return {errc::bad_count, argument};
    index_t floors = 0;
    if (rule.has_floor())
      if (status s = floor_quotas(m, rule, unit, count, argument, items_of, floors); !s) return s;
    m.quotas[u] = std::min(count, sum.available) - sum.guarded - floors;
    if (m.quotas[u] < 0) return {errc::budget_too_small, argument};
  }
  return {};
}

/// Finds the cut of every unit. Many small units run side by side, few large ones are cut one
/// after another by all threads: the same integers.
template <class ForEachKey, class RankedItems>
void find_cuts(const backend& b, const select_memory& m, budget_scope scope, const index_t* quotas,
               cut* cuts, ForEachKey&& for_each_key, RankedItems&& ranked_items) {
  const auto find = [&](const backend& inner, index_t* histograms, index_t u) {
    const select_unit unit = m.map.unit(scope, u);
    cuts[u] = find_cut(inner, histograms, unit.first_chunk, unit.last_chunk, quotas[u],
                       ranked_items(unit), for_each_key);
  };
  const index_t units = m.map.units(scope);
  if (units >= 2 * b.exec.threads) {
    parallel_for(b, units, [&](index_t u, int worker) {
      find(backend{}, m.histograms + worker * histogram_buckets, u);
    });
  } else {
    for (index_t u = 0; u < units; ++u) find(b, m.histograms, u);
  }
}

/// Fills `ties`: how many items with the cut's key precede each chunk inside its unit. Left at 0
/// where a cut takes all of them or none.
template <class ForEachKey>
void rank_ties(const backend& b, const select_memory& m, budget_scope scope, const cut* cuts,
               index_t* ties, ForEachKey&& for_each_key) {
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const cut at = cuts[m.map.unit_of(scope, m.map.chunk(i))];
    index_t equal = 0;
    if (at.splits_ties()) for_each_key(i, [&](std::uint32_t key) { equal += key == at.key; });
    ties[i] = equal;
  });
  for (index_t u = 0; u < m.map.units(scope); ++u) {
    const select_unit unit = m.map.unit(scope, u);
    index_t before = 0;
    for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) {
      const index_t own = ties[i];
      ties[i] = before;
      before += own;
    }
  }
}

/// Cuts the ranking of every unit after its quota, below the floors of its rows.
/// `for_each_key(chunk, f)` calls f(key) for each ranked item of a chunk.
template <class ForEachKey, class ItemsOf>
void cut_by_quotas(const backend& b, const select_memory& m, const budget_rule& rule,
                   ForEachKey&& for_each_key, ItemsOf&& items_of) {
  const auto ranked = [&](const select_unit& unit) {
    index_t items = 0;
    for (index_t r = unit.first_row; r < unit.last_row; ++r) items += items_of(r).ranked();
    return items;
  };
  if (!rule.has_floor()) {
    find_cuts(b, m, rule.scope, m.quotas, m.cuts, for_each_key, ranked);
    rank_ties(b, m, rule.scope, m.cuts, m.ties, for_each_key);
    return;
  }
  find_cuts(b, m, budget_scope::head, m.floor_quotas, m.floors, for_each_key, ranked);
  rank_ties(b, m, budget_scope::head, m.floors, m.floor_ties, for_each_key);
  const auto for_each_key_left = [&](index_t i, auto&& f) {
    const cut floor = m.floors[m.map.chunk(i).row()];
    index_t rank = m.floor_ties[i];
    for_each_key(i, [&](std::uint32_t key) {
      if (!floor.keeps(key, rank)) f(key);
    });
  };
  const auto left = [&](const select_unit& unit) {
    index_t items = ranked(unit);
    for (index_t r = unit.first_row; r < unit.last_row; ++r) items -= m.floor_quotas[r];
    return items;
  };
  find_cuts(b, m, rule.scope, m.quotas, m.cuts, for_each_key_left, left);
  rank_ties(b, m, rule.scope, m.cuts, m.ties, for_each_key_left);
}

/// A threshold decides each item alone.
inline void cut_by_threshold(const select_memory& m, const budget_rule& rule) {
  std::fill_n(m.cuts, m.map.units(rule.scope), cut::from_threshold(rule.key));
  std::fill_n(m.ties, m.map.chunks, index_t{0});
}

/// What decides the items of a chunk, in their order.
inline floored_cut cut_of(const select_memory& m, const budget_rule& rule, const select_chunk& c) {
  floored_cut at;
  at.main = m.cuts[m.map.unit_of(rule.scope, c)];
  at.rank = m.ties[c.number];
  if (rule.has_floor()) {
    at.floor = m.floors[c.row()];
    at.floor_rank = m.floor_ties[c.number];
  }
  return at;
}

}  // namespace rota::cpu::detail
