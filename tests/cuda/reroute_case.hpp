#pragma once

#include <rota/attend/attention.hpp>
#include <rota/cuda/cuda.cuh>

#include "cuda/device_case.hpp"

namespace rota_test {

/// Scores that are the same numbers everywhere, and often equal: selections must be the same.
struct first_channel {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  ROTA_HD static float score(const params&, const rota::token_ref& t) {
    return static_cast<float>(static_cast<int>(8 * t.key[0]));
  }
};
struct by_place {
  using policy_kind = rota::group_scorer_tag;
  struct params {};
  ROTA_HD static float score(const params&, const rota::group_ref& g) {
    return static_cast<float>((31 * g.token.position + 17 * g.group) % 23);
  }
};

/// Runs an operator with a workspace of just the size that it asks for.
template <class Op, class Store, class Context>
rota::status run_reroute(const rota::cuda::backend& b, const Store& from, const Context& parts,
                         const typename Op::params& p, Store& to) {
  const rota_test::device_workspace ws(Op::reroute_workspace_bytes(b, from, parts, p));
  return Op::reroute(b, from, parts, p, to, ws.get());
}

}  // namespace rota_test
