#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps the best m items over all heads and layers of the call: tokens, or (token, group) pairs
/// of the survivors. Scores of different layers should be comparable.
struct global_top_m {
  using policy_kind = budget_tag;
  struct params {
    index_t m = 0;
  };
  static constexpr budget_scope scope = budget_scope::span;

  static void describe(const params& p, fingerprint& f) { f.add("global_top_m").add(p.m); }
  static status check(const params& p) {
    if (p.m < 0) return {errc::bad_count, "m"};
    return {};
  }
  static index_t count(const params& p, index_t items) { return p.m < items ? p.m : items; }
};

}  // namespace rota
