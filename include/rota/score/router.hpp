#pragma once

#include <rota/score/router_weights.hpp>

namespace rota {

/// Group scorer: the router's logit.
template <router_form Form = per_head_router>
struct router {
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<layer_states, router_weights>;
  struct params {};
  /// The form alone: weights are the context's, so whoever saves a store adds what tells them
  /// apart.
  static void describe(const params&, fingerprint& f) { f.add("router").add(Form::name); }
};

}  // namespace rota
