#pragma once

#include <rota/policy/concepts.hpp>

namespace rota {

/// Recency: the newer, the better. With protected sinks this keeps what StreamingLLM keeps
/// (Xiao et al. 2023, arXiv 2309.17453): the first and the last tokens.
struct window_sink {
  using policy_kind = token_scorer_tag;
  struct params {};

  ROTA_HD static float score(const params&, const token_ref& t) {
    return static_cast<float>(t.index + 1) / static_cast<float>(t.tokens);
  }
};

}  // namespace rota
