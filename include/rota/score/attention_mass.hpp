#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Attention that the window queries give the token, times the norm of the slice:
///   score(j, s) = (sum over window queries q and query heads of the kv head of p_{q, j})
///                 * |v_{j, s}|
/// (DESIGN section 3). p is causal: a query sees the tokens up to its own.
struct attention_mass {
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<window_queries>;
  struct params {
    float scale = 0;  ///< of the logits; 0 means 1 / sqrt(d_k)
  };
  static void describe(const params& p, fingerprint& f) { f.add("attention_mass").add(p.scale); }
};

}  // namespace rota
