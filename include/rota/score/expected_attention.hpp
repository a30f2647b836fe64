#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Attention expected from future queries, taken as normal (Devoto et al. 2025, arXiv
/// 2510.00636). With mu, Sigma the mean and covariance of the pre-RoPE queries of a query head
/// and Rbar the mean RoPE matrix over the next `future_positions` positions:
///   z_i   = k_i' Rbar mu / sqrt(d) + k_i' (Rbar Sigma Rbar') k_i / (2 d)
///   s_i   = mean over the query heads of the kv head of softmax_i(z_i), non-sink tokens only
///   score = (s_i + epsilon) * |v_i|
/// Without value norm the score is s_i alone and epsilon does nothing. Rbar is not orthogonal.
/// The next position is the one after the context's last. The first `sinks` tokens are outside the
/// softmax and get a finite score just above all others of their head (the authors' code gives
/// them the maximum over all heads plus one). Whoever gathers the moments should leave out the
/// first queries too (the authors skip 4): see query_statistics.
struct expected_attention {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<query_moments, rope_frequencies>;
  struct params {
    index_t future_positions = 512;  ///< at least 1
    index_t sinks = 4;
    float epsilon = 0;  ///< finite, not negative
    bool use_covariance = true;
    bool use_value_norm = true;
  };
  static void describe(const params& p, fingerprint& f) {
    f.add("expected_attention").add(p.future_positions).add(p.sinks).add(p.epsilon);
    f.add(p.use_covariance).add(p.use_value_norm);
  }
};

}  // namespace rota
