#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Euclidean norm of the value slice: what dropping the group would take out of the value.
struct value_norm {
  using policy_kind = group_scorer_tag;
  struct params {};

  ROTA_HD static float score(const params&, const group_ref& g) {
    float sum = 0;
    for (int i = 0; i < g.width; ++i) sum += g.slice[i] * g.slice[i];
    return std::sqrt(sum);
  }
};

}  // namespace rota
