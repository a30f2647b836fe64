#pragma once

#include <rota/policy/concepts.hpp>

// A learned router of value groups (docs/adapt.md): from h_j, what the layer's own projections
// read, it predicts how much later tokens will want each group of the token. In the paper gamma_j =
// W h_j + b in R^(kv_heads x S); the other two forms are ours and leaner.

namespace rota {

/// What the layer's projections read: hidden states after its first norm, one row a token.
struct layer_states {
  view<const float, 2> layer_hidden;  ///< [tokens, hidden]
};

/// Weights of this layer's router; how many outputs there are is the form's.
struct router_weights {
  view<const float, 2> router;       ///< [outputs, hidden]
  view<const float, 1> router_bias;  ///< [outputs]
};

/// Which of a token's outputs make a logit: their sum. `second` -1: only the first.
struct router_terms {
  index_t first;
  index_t second = -1;
};

/// gamma_{j, h, s} = W_{h S + s} h_j + b: kv_heads * S outputs.
struct per_head_router {
  static constexpr const char* name = "per_head";
  static index_t outputs(index_t kv_heads, index_t groups) { return kv_heads * groups; }
  ROTA_HD static router_terms terms(index_t groups, index_t, index_t h, index_t s) {
    return {h * groups + s};
  }
};

/// One mask for all kv heads: S outputs.
struct shared_router {
  static constexpr const char* name = "shared";
  static index_t outputs(index_t, index_t groups) { return groups; }
  ROTA_HD static router_terms terms(index_t, index_t, index_t, index_t s) { return {s}; }
};

/// kv heads first, then groups: kv_heads + S outputs, a logit is the sum of the two.
struct hierarchical_router {
  static constexpr const char* name = "hierarchical";
  static index_t outputs(index_t kv_heads, index_t groups) { return kv_heads + groups; }
  ROTA_HD static router_terms terms(index_t, index_t kv_heads, index_t h, index_t s) {
    return {h, kv_heads + s};
  }
};

template <class F>
concept router_form = requires {
  { F::outputs(index_t{}, index_t{}) } -> std::same_as<index_t>;
  { F::terms(index_t{}, index_t{}, index_t{}, index_t{}) } -> std::same_as<router_terms>;
};

/// Logit of (h, s) from a token's outputs, which lie `stride` apart.
template <router_form Form, class T>
T router_logit(const T* out, index_t stride, index_t groups, index_t kv_heads, index_t h,
               index_t s) {
  const router_terms t = Form::terms(groups, kv_heads, h, s);
  return t.second < 0 ? out[t.first * stride] : out[t.first * stride] + out[t.second * stride];
}

template <class F>
void for_each_range(const layer_states& part, F&& f) {
  f(range_of(part.layer_hidden));
}
template <class F>
void for_each_range(const router_weights& part, F&& f) {
  f(range_of(part.router));
  f(range_of(part.router_bias));
}

/// Checks what a router of this form reads of a context whose tokens have `groups` groups.
template <router_form Form, class Context>
status check_router(const Context& c, index_t groups) {
  if (status s = check_view(c.layer_hidden, "layer_hidden"); !s) return s;
  if (status s = check_view(c.router, "router"); !s) return s;
  if (status s = check_view(c.router_bias, "router_bias"); !s) return s;
  const index_t width = c.layer_hidden.extent[1];
  if (c.layer_hidden.extent[0] != c.tokens() || width < 1) return {errc::bad_shape, "layer_hidden"};
  if (groups < 1 || groups > max_groups) return {errc::bad_shape, "router"};
  const index_t outputs = Form::outputs(c.kv_heads(), groups);
  if (c.router.extent[0] != outputs || c.router.extent[1] != width)
    return {errc::bad_shape, "router"};
  if (c.router_bias.extent[0] != outputs) return {errc::bad_shape, "router_bias"};
  return {};
}

}  // namespace rota
