#pragma once

#include <concepts>

#include <rota/core/element.hpp>
#include <rota/core/view.hpp>
#include <rota/lora/routing.hpp>

// Low-rank adapters of a linear projection (LoRA, arXiv 2106.09685), and adapters whose rank is cut
// into subspaces of which each token uses a few (routed subspace LoRA, arXiv 2604.21335):
//   plain   y = W x + (alpha / r) B A x
//   routed  y = W x + (alpha / r_active) * sum over i in R(x) of g_i(x) B_i A_i x
// R(x) are the K largest of N router logits z = U x + u, r_active = r K / N. With K = N and uniform
// gates the second is the first.

namespace rota {

/// Forms of an adapter: what is compiled in.
struct plain_lora {
  static constexpr int subspaces = 1, active = 1;
  static constexpr bool routed = false;
};

/// Rank in `Subspaces` parts, the best `Active` of them for each token.
template <int Subspaces, int Active, class Gate = softmax_gate>
struct routed_lora {
  static_assert(Subspaces >= 1 && Subspaces <= 256, "rota: routed_lora has 1 to 256 subspaces");
  static_assert(Active >= 1 && Active <= Subspaces,
                "rota: routed_lora<N, K> uses K of its N subspaces, 1 <= K <= N");
  static constexpr int subspaces = Subspaces, active = Active;
  static constexpr bool routed = true;
  using gate = Gate;
};

template <class F>
concept lora_form = requires {
  { F::subspaces } -> std::convertible_to<int>;
  { F::active } -> std::convertible_to<int>;
  { F::routed } -> std::convertible_to<bool>;
};

/// Weights of one adapter, caller-owned. `up` is B transposed, so that a subspace is a run of rows
/// of both: rows i r / N to (i + 1) r / N - 1.
template <element E>
struct lora_weights {
  view<const E, 2> down;             ///< A [r, in]
  view<const E, 2> up;               ///< B' [r, out]
  view<const E, 2> router;           ///< U [N, in]; empty for a plain adapter
  view<const float, 1> router_bias;  ///< u [N], or empty
  float alpha = 1;

  index_t rank() const { return down.extent[0]; }
  index_t in() const { return down.extent[1]; }
  index_t out() const { return up.extent[1]; }
};

/// What B A is multiplied by, gates aside.
template <lora_form Form, element E>
float lora_scale(const lora_weights<E>& w) {
  return w.alpha * Form::subspaces / (static_cast<float>(w.rank()) * Form::active);
}

/// Adds an adapter's part to the projection of some tokens: y += scale * ... of x.
template <element E>
struct lora_item {
  lora_weights<E> weights;
  view<const float, 2> x;  ///< [tokens, in]
  view<float, 2> y;        ///< [tokens, out], the dense projection of x on entry
  view<float, 2> logits;   ///< [tokens, N]: receives the router's logits; may be empty
};

/// Errors: null_view, bad_shape and bad_stride of "down", "up", "router", "router_bias"; bad_count
/// of "down" when N does not divide the rank.
template <lora_form Form, element E>
status check_lora(const lora_weights<E>& w) {
  if (status s = check_view(w.down, "down"); !s) return s;
  if (status s = check_view(w.up, "up"); !s) return s;
  if (w.down.empty()) return {errc::bad_shape, "down"};
  if (w.rank() % Form::subspaces != 0) return {errc::bad_count, "down"};
  if (w.up.extent[0] != w.rank() || w.up.empty()) return {errc::bad_shape, "up"};
  if constexpr (Form::routed) {
    if (status s = check_view(w.router, "router"); !s) return s;
    if (status s = check_view(w.router_bias, "router_bias"); !s) return s;
    if (w.router.extent[0] != Form::subspaces || w.router.extent[1] != w.in())
      return {errc::bad_shape, "router"};
    if (!w.router_bias.empty() && w.router_bias.extent[0] != Form::subspaces)
      return {errc::bad_shape, "router_bias"};
  }
  return {};
}

}  // namespace rota
