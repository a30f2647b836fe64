#pragma once

#include <rota/cpu/select/find_cut.hpp>
#include <rota/cpu/select/rule.hpp>

// What the two levels share under a counting budget: how many items each scope keeps, and where
// that cuts the ranking. An item is a token, or a group of a survivor.

namespace rota::cpu {

namespace detail {

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
    m.cuts.floor_quotas[r] = std::clamp<index_t>(floor - row.guarded, 0, row.ranked());
    taken += m.cuts.floor_quotas[r];
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
    const index_t count = rule.count(sum.all, m.map.place_of_row(unit.first_row));
    if (count < 0) return {errc::bad_count, argument};
    index_t floors = 0;
    if (rule.has_floor())
      if (status s = floor_quotas(m, rule, unit, count, argument, items_of, floors); !s) return s;
    m.cuts.quotas[u] = std::min(count, sum.available) - sum.guarded - floors;
    if (m.cuts.quotas[u] < 0) return {errc::budget_too_small, argument};
  }
  return {};
}

}  // namespace detail

inline namespace ROTA_CPU_ISA {
namespace select_detail {

/// Keeps the best of every unit. Many small units run side by side, few large ones are cut one
/// after another by all threads: the same result.
template <class RankedItems>
void cut_units(const backend& b, const item_level& level, budget_scope scope, const index_t* quotas,
               RankedItems&& ranked_items) {
  const detail::select_map& map = level.memory.map;
  const auto run = [&](const backend& inner, index_t u, int worker) {
    const select_unit unit = map.unit(scope, u);
    unit_cut(inner, level, unit, quotas[u], ranked_items(unit), worker).run();
  };
  const index_t units = map.units(scope);
  if (units >= 2 * b.exec.threads) {
    parallel_for(b, units, [&](index_t u, int worker) { run(backend{}, u, worker); });
  } else {
    for (index_t u = 0; u < units; ++u) run(b, u, 0);
  }
}

/// Keeps the quota of every unit, and first the floors of its rows.
template <class ItemsOf>
void cut_by_quotas(const backend& b, item_level level, const budget_rule& rule,
                   ItemsOf&& items_of) {
  const cut_memory& m = level.memory.cuts;
  const auto ranked = [&](const select_unit& unit) {
    index_t items = 0;
    for (index_t r = unit.first_row; r < unit.last_row; ++r) items += items_of(r).ranked();
    return items;
  };
  if (!rule.has_floor()) return cut_units(b, level, rule.scope, m.quotas, ranked);
  cut_units(b, level, budget_scope::head, m.floor_quotas, ranked);
  level.rest = true;
  cut_units(b, level, rule.scope, m.quotas, [&](const select_unit& unit) {
    index_t items = ranked(unit);
    for (index_t r = unit.first_row; r < unit.last_row; ++r) items -= m.floor_quotas[r];
    return items;
  });
}

/// A threshold decides each item alone.
inline void cut_by_threshold(const backend& b, const item_level& level, const budget_rule& rule) {
  const detail::select_map& map = level.memory.map;
  for (index_t l = 0; l < map.layer_count; ++l) {
    const select_unit unit = map.unit(budget_scope::layer, l);
    unit_cut(b, level, unit, 0, 0, 0).keep_cut(cut::from_threshold(rule.key));
  }
}

}  // namespace select_detail
}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu
