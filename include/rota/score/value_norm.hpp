#pragma once

#include <rota/policy/concepts.hpp>
#include <rota/score/row_norm.hpp>

namespace rota {

/// Euclidean norm of the value slice: what dropping the group would take out of the value.
struct value_norm {
  using policy_kind = group_scorer_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("value_norm"); }
  static constexpr bool reads_keys = false;

  ROTA_HD static float score(const params&, const group_ref& g) {
    return row_norm(g.slice, g.width);
  }
};

}  // namespace rota
