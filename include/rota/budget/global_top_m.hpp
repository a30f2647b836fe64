#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps the best m items of each scope: tokens, or (token, group) pairs of the survivors. With the
/// scopes layer and span, heads and layers compete, so their scores should be comparable: see
/// layer_normalization.
template <budget_scope Scope>
struct top_m {
  using policy_kind = budget_tag;
  struct params {
    index_t m = 0;
  };
  static constexpr budget_scope scope = Scope;

  static void describe(const params& p, fingerprint& f) {
    f.add("top_m").add(static_cast<int>(Scope)).add(p.m);
  }
  ROTA_HD static status check(const params& p) {
    if (p.m < 0) return {errc::bad_count, "m"};
    return {};
  }
  ROTA_HD static index_t count(const params& p, index_t items) { return p.m < items ? p.m : items; }
};

/// The best m items over all heads and layers of the call.
using global_top_m = top_m<budget_scope::span>;

}  // namespace rota
