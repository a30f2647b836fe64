#pragma once

#include <rota/policy/concepts.hpp>
#include <rota/score/row_norm.hpp>

namespace rota {

/// Minus the Euclidean norm of the key: small keys attract attention (Devoto et al. 2024,
/// arXiv 2406.11430).
struct key_norm {
  using policy_kind = token_scorer_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("key_norm"); }
  static constexpr bool reads_values = false;

  ROTA_HD static float score(const params&, const token_ref& t) { return -row_norm(t.key, t.d_k); }
};

}  // namespace rota
