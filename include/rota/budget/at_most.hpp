#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// What another counting budget keeps, but no more than a ratio of the items, rounded to the
/// nearest: how a store is made to fit a number of bytes whatever its budget is.
template <counting_budget Budget>
struct at_most {
  using policy_kind = budget_tag;
  struct params {
    typename Budget::params budget;
    double ratio = 1;  ///< in [0, 1]
  };
  static constexpr budget_scope scope = Budget::scope;

  static void describe(const params& p, fingerprint& f) requires described_policy<Budget> {
    f.add("at_most").add(p.ratio);
    Budget::describe(p.budget, f);
  }
  ROTA_HD static status check(const params& p) {
    if (!(p.ratio >= 0 && p.ratio <= 1)) return {errc::bad_ratio, "ratio"};
    return Budget::check(p.budget);
  }
  ROTA_HD static index_t count(const params& p, index_t items) {
    const auto most = static_cast<index_t>(std::llround(p.ratio * static_cast<double>(items)));
    const index_t count = Budget::count(p.budget, items);
    return most < count ? most : count;
  }
};

}  // namespace rota
