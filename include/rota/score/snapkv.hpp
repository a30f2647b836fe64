#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Attention of an observation window, smoothed along the tokens (SnapKV: Li et al. 2024, arXiv
/// 2404.14469). With w window queries, p causal, over all n tokens:
///   a_i = mean over the w queries and the G query heads of p_i,  i < n - w
///   score_i = sum over |j - i| <= kernel / 2 of a_j / kernel,  a outside 0 .. n - w - 1 being 0.
/// The last w tokens, those from the first query's position on, get a finite score just above all
/// others of their head. The context may hold
/// more queries than `window`: the last count; or fewer: then those are the window.
struct snapkv {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<window_queries>;
  struct params {
    index_t window = 64;  ///< at least 1
    index_t kernel = 5;   ///< odd; 1 smooths nothing
    float scale = 0;      ///< of the logits; 0 means 1 / sqrt(d_k)
  };
  static void describe(const params& p, fingerprint& f) {
    f.add("snapkv").add(p.window).add(p.kernel).add(p.scale);
  }
};

}  // namespace rota
