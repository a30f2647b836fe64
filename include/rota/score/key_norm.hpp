#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Minus the Euclidean norm of the key: small keys attract attention (Devoto et al. 2024,
/// arXiv 2406.11430).
struct key_norm {
  using policy_kind = token_scorer_tag;
  struct params {};

  ROTA_HD static float score(const params&, const token_ref& t) {
    float sum = 0;
    for (int i = 0; i < t.d_k; ++i) sum += t.key[i] * t.key[i];
    return -std::sqrt(sum);
  }
};

}  // namespace rota
