#pragma once

#include <rota/score/output_projection.hpp>

namespace rota {

/// Norm of what the slice adds to the hidden state: the root mean square of |W_O v_s| over the
/// query heads of the kv head. value_norm, seen from behind the output projection, as CriticalKV
/// does for whole tokens (Feng et al. 2025, arXiv 2502.03805).
struct wo_norm {
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<output_gram>;
  struct params {};
  static void describe(const params&, fingerprint& f) { f.add("wo_norm"); }
};

}  // namespace rota
