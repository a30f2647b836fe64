#pragma once

#include <rota/score/joint_heads.hpp>

namespace rota {

/// Attention of the last query alone (TOVA: Oren et al. 2024, arXiv 2401.06104):
///   score_i = mean over all query heads of p_i, the same for every kv head.
/// p is the last query's softmax over all tokens. The last token itself gets a finite score just
/// above all others. Of the window queries only the last is read; none: all scores are 0. In a
/// store that is routed again a token that a kv head has lost has no attention there.
struct tova {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<window_queries>;
  static constexpr bool joins_heads = true;
  struct params {
    float scale = 0;  ///< of the logits; 0 means 1 / sqrt(d_k)
  };
  static void describe(const params& p, fingerprint& f) { f.add("tova").add(p.scale); }
};

}  // namespace rota
