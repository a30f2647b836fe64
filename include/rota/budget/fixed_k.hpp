#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Keeps k items of a row: k groups of each token, or k tokens of each head. Protected tokens
/// keep all their groups; k then counts for the others.
struct fixed_k {
  using policy_kind = budget_tag;
  struct params {
    index_t k = 1;
  };
  static constexpr budget_scope scope = budget_scope::row;

  static void describe(const params& p, fingerprint& f) { f.add("fixed_k").add(p.k); }
  ROTA_HD static status check(const params& p) {
    if (p.k < 0) return {errc::bad_count, "k"};
    return {};
  }
  ROTA_HD static index_t count(const params& p, index_t items) { return p.k < items ? p.k : items; }
};

}  // namespace rota
