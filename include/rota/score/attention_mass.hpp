#pragma once

#include <rota/policy/concepts.hpp>
#include <rota/score/mass_pooling.hpp>

namespace rota {

/// Attention that the window queries give the token, times the norm of the slice:
///   score(j, s) = (sum over window queries q and query heads of the kv head of p_{q, j})
///                 * |v_{j, s}|
/// A token matters as much as it is looked at, and a slice as much as it adds to the output. p is
/// causal: a query sees the tokens up to its own. A pool_kernel above 1 first smooths the sums
/// along the tokens, as snapkv does: what a window looks at is often the token before the one that
/// matters next.
struct attention_mass {
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<window_queries>;
  using params = mass_pooling;
  static void describe(const params& p, fingerprint& f) {
    f.add("attention_mass").add(p.scale).add(p.pool_kernel);
  }
};

}  // namespace rota
