#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// What another counting or typed budget keeps, but no more than a ratio of the items, rounded to
/// the nearest: how a store is made to fit a number of bytes whatever its budget is. Whatever
/// the budget says of layers, heads, floors and types stays.
template <budget Budget>
requires(counting_budget<Budget> || typed_budget<Budget>) struct at_most {
  using policy_kind = budget_tag;
  struct params {
    typename Budget::params budget;
    double ratio = 1;  ///< in [0, 1]
  };
  static constexpr budget_scope scope = detail::scope_of<Budget>();
  static constexpr int types = detail::types_of<Budget>();

  static void describe(const params& p, fingerprint& f) requires described_policy<Budget> {
    f.add("at_most").add(p.ratio);
    Budget::describe(p.budget, f);
  }
  ROTA_HD static status check(const params& p) {
    if (!(p.ratio >= 0 && p.ratio <= 1)) return {errc::bad_ratio, "ratio"};
    return Budget::check(p.budget);
  }
  ROTA_HD static index_t count(const params& p,
                               index_t items) requires detail::counts_items<Budget> {
    return capped(p, items, Budget::count(p.budget, items));
  }
  ROTA_HD static index_t count(const params& p, index_t items,
                               const budget_place& at) requires detail::counts_by_place<Budget> {
    return capped(p, items, Budget::count(p.budget, items, at));
  }
  ROTA_HD static index_t floor(const params& p, index_t count,
                               index_t rows) requires floored_budget<Budget> {
    return Budget::floor(p.budget, count, rows);
  }
  ROTA_HD static index_t count_of_type(const params& p, index_t items,
                                       int type) requires typed_budget<Budget> {
    return capped(p, items, Budget::count_of_type(p.budget, items, type));
  }

 private:
  ROTA_HD static index_t capped(const params& p, index_t items, index_t count) {
    const auto most = static_cast<index_t>(std::llround(p.ratio * static_cast<double>(items)));
    return most < count ? most : count;
  }
};

}  // namespace rota
