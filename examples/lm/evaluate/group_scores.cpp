#include <rota/cpu/score.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/attention_mass_wo.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/wo_norm.hpp>

#include "engine/error.hpp"
#include "engine/rota_call.hpp"
#include "evaluate/stock_scores.hpp"

namespace rota_lm::eval {
namespace {

/// Calls f.operator()<Scorer>() with the scorer of this name.
template <class F>
void with_group_scorer(group_scorer which, F&& f) {
  switch (which) {
    case group_scorer::value_norm:
      return f.template operator()<rota::value_norm>();
    case group_scorer::wo_norm:
      return f.template operator()<rota::wo_norm>();
    case group_scorer::attention_mass:
    case group_scorer::pooled_attention_mass:
      return f.template operator()<rota::attention_mass>();
    case group_scorer::attention_mass_wo:
      return f.template operator()<rota::attention_mass_wo>();
    case group_scorer::predictor:
    case group_scorer::oracle:
      fail("scoring", "the predictor and the oracle are no stock scorers");
  }
}

}  // namespace

void score_groups(group_scorer which, const stock_context& c, int width,
                  const rota::cpu::backend& backend, scratch_memory& scratch,
                  const rota::view<float, 3>& out, const std::string& where) {
  with_group_scorer(which, [&]<class Scorer>() {
    typename Scorer::params p;
    if constexpr (requires { p.pool_kernel; }) {
      p.pool_kernel = which == group_scorer::pooled_attention_mass ? 5 : 1;
    }
    const rota::workspace ws =
        scratch.at_least(rota::cpu::score_groups_workspace_bytes(backend, Scorer{}, p, c, width));
    require(rota::cpu::score_groups(backend, Scorer{}, p, c, width, out, ws), where);
  });
}

}  // namespace rota_lm::eval
