#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Attention that a token has had so far, a query that could see it (H2O: Zhang et al. 2023, arXiv
/// 2306.14048, with the division that kvpress adds):
///   score_i = mean over the G query heads of (sum over queries of p_i) / (queries that see i);
/// without a sliding window n - i queries see token i. p is causal.
/// Needs the queries of all tokens, the first one's included: with fewer, bad_shape "queries". Time
/// grows with n squared; memory does not, for the attention matrix is never there.
struct observed_attention {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<window_queries>;
  struct params {
    float scale = 0;  ///< of the logits; 0 means 1 / sqrt(d_k)
  };
  static void describe(const params& p, fingerprint& f) {
    f.add("observed_attention").add(p.scale);
  }
};

}  // namespace rota
