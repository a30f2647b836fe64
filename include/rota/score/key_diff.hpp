#pragma once

#include <rota/policy/concepts.hpp>
#include <rota/score/row_norm.hpp>

namespace rota {

/// Keys unlike the rest of their head (KeyDiff: Park et al. 2025, arXiv 2504.15364):
///   score_i = -cos(k_i, mean over j of k_j / |k_j|).
/// A key of zeros has cosine 0.
struct key_diff {
  using policy_kind = token_scorer_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("key_diff"); }
  static constexpr bool reads_values = false;

  static index_t sums(const params&, int d_k, int) { return d_k; }

  ROTA_HD static void accumulate(const params&, const token_ref& t, float* sums) {
    const float length = row_norm(t.key, t.d_k);
    for (int i = 0; i < t.d_k && length > 0; ++i) sums[i] += t.key[i] / length;
  }
  /// The mean's length does not matter to a cosine: the sum becomes a unit vector.
  ROTA_HD static void finish(const params&, const token_ref& any, float* sums) {
    const float length = row_norm(sums, any.d_k);
    for (int i = 0; i < any.d_k && length > 0; ++i) sums[i] /= length;
  }
  ROTA_HD static float score(const params&, const token_ref& t, const float* anchor) {
    const float length = row_norm(t.key, t.d_k);
    float dot = 0;
    for (int i = 0; i < t.d_k; ++i) dot += t.key[i] * anchor[i];
    return length > 0 ? -dot / length : 0.0f;
  }
};

}  // namespace rota
