#pragma once

#include <rota/score/mass_pooling.hpp>
#include <rota/score/output_projection.hpp>

namespace rota {

/// attention_mass with the norm of the slice taken behind the output projection (wo_norm).
struct attention_mass_wo {
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<window_queries, output_gram>;
  using params = mass_pooling;
  static void describe(const params& p, fingerprint& f) {
    f.add("attention_mass_wo").add(p.scale).add(p.pool_kernel);
  }
};

}  // namespace rota
