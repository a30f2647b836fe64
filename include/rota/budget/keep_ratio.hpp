#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps a ratio of the items of each scope: tokens, or (token, group) pairs of the survivors.
template <budget_scope Scope>
struct keep_ratio_in {
  using policy_kind = budget_tag;
  struct params {
    double ratio = 1;  ///< in [0, 1]; the count is rounded to the nearest
  };
  static constexpr budget_scope scope = Scope;

  static void describe(const params& p, fingerprint& f) {
    f.add("keep_ratio").add(static_cast<int>(Scope)).add(p.ratio);
  }
  ROTA_HD static status check(const params& p) {
    if (!(p.ratio >= 0 && p.ratio <= 1)) return {errc::bad_ratio, "ratio"};
    return {};
  }
  ROTA_HD static index_t count(const params& p, index_t items) {
    return static_cast<index_t>(std::llround(p.ratio * static_cast<double>(items)));
  }
};

/// The same ratio of each head's items.
using keep_ratio = keep_ratio_in<budget_scope::head>;

}  // namespace rota
