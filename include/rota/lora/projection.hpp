#pragma once

#include <rota/lora/adapter.hpp>
#include <rota/policy/concepts.hpp>

namespace rota {

/// A linear projection of the model: y = W x + b.
template <element E>
struct linear_weights {
  view<const E, 2> weight;    ///< W [out, in]
  view<const float, 1> bias;  ///< [out], or empty
};

/// The form of a projection that has no adapter.
struct no_adapter {};

/// One projection of some tokens: Q, K or V of a sequence, or any other. `part` holds x, which is
/// projected, y, which receives it, and the adapter's weights (not read with no_adapter). E is the
/// element of the model's weights, A of the adapter's.
template <element E, element A = E>
struct projection_item {
  linear_weights<E> dense;
  lora_item<A> part;
};

/// Policy: how projections are adapted. Form: plain_lora, routed_lora<N, K>, or no_adapter.
template <class Form>
struct projection {
  static_assert(lora_form<Form> || std::same_as<Form, no_adapter>,
                "rota: projection<Form> takes plain_lora, routed_lora<N, K> or no_adapter");
  using policy_kind = projection_tag;
  using form = Form;
  struct params {};
};

/// Errors: null_view, bad_shape and bad_stride of "weight", "bias", "x" and "y".
template <element E, element A>
status check_linear(const projection_item<E, A>& item) {
  const auto& [weight, bias] = item.dense;
  if (status s = check_view(weight, "weight"); !s) return s;
  if (status s = check_view(bias, "bias"); !s) return s;
  if (status s = check_view(item.part.x, "x"); !s) return s;
  if (status s = check_output(item.part.y, "y"); !s) return s;
  if (weight.empty()) return {errc::bad_shape, "weight"};
  if (!bias.empty() && bias.extent[0] != weight.extent[0]) return {errc::bad_shape, "bias"};
  if (item.part.x.extent[1] != weight.extent[1]) return {errc::bad_shape, "x"};
  if (item.part.y.extent[0] != item.part.x.extent[0] || item.part.y.extent[1] != weight.extent[0])
    return {errc::bad_shape, "y"};
  return {};
}

}  // namespace rota
