#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Recency: minus the number of tokens after it (exact below 2^24 tokens, never out of order). With
/// protected sinks this keeps what StreamingLLM keeps (Xiao et al. 2023, arXiv 2309.17453): the
/// first and the last tokens.
struct window_sink {
  using policy_kind = token_scorer_tag;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("window_sink"); }
  static constexpr bool reads_keys = false;
  static constexpr bool reads_values = false;

  ROTA_HD static float score(const params&, const token_ref& t) {
    return static_cast<float>(t.index - (t.tokens - 1));
  }
};

}  // namespace rota
