#pragma once

#include <rota/score/router_weights.hpp>

namespace rota {

/// Weights of a role-conditioned router beside those of the router itself.
struct role_weights {
  view<const float, 2> role_router;  ///< [roles, hidden]: says what a token's role is
  view<const float, 1> role_bias;    ///< [roles]
  view<const float, 2> role_groups;  ///< [kv_heads * S, roles]: what each role makes of each group
};

/// Group scorer: a router whose logits lean on the role that a token seems to play,
///
///   gamma_j = W h_j + b + share * W_role softmax(U h_j + u)
///
/// in R^(kv_heads x S), W = router, b = router_bias, U = role_router, u = role_bias, W_role =
/// role_groups. The form of the paper's follow-up, whose share is 0.1; its third term, of
/// languages, is left out. Goes with k_by_type, whose types are the caller's to say.
template <int Roles>
struct role_router {
  static_assert(Roles >= 1 && Roles <= 64, "rota: role_router has 1 to 64 roles");
  using policy_kind = group_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<layer_states, router_weights, role_weights>;
  static constexpr index_t roles = Roles;
  struct params {
    float share = 0.1f;  ///< finite
  };
  /// Weights are the context's: see router.
  static void describe(const params& p, fingerprint& f) {
    f.add("role_router").add(index_t{Roles}).add(static_cast<double>(p.share));
  }
};

template <class F>
void for_each_range(const role_weights& part, F&& f) {
  f(range_of(part.role_router));
  f(range_of(part.role_bias));
  f(range_of(part.role_groups));
}

/// Checks what a role router reads of a context whose tokens have `groups` groups.
template <index_t Roles, class Context>
status check_role_router(const Context& c, index_t groups, float share) {
  if (status s = check_router<per_head_router>(c, groups); !s) return s;
  if (!(share - share == 0)) return {errc::bad_parameter, "share"};
  if (status s = check_view(c.role_router, "role_router"); !s) return s;
  if (status s = check_view(c.role_bias, "role_bias"); !s) return s;
  if (status s = check_view(c.role_groups, "role_groups"); !s) return s;
  if (c.role_router.extent[0] != Roles || c.role_router.extent[1] != c.layer_hidden.extent[1])
    return {errc::bad_shape, "role_router"};
  if (c.role_bias.extent[0] != Roles) return {errc::bad_shape, "role_bias"};
  if (c.role_groups.extent[0] != c.kv_heads() * groups || c.role_groups.extent[1] != Roles)
    return {errc::bad_shape, "role_groups"};
  return {};
}

}  // namespace rota
