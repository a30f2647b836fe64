#pragma once

#include <rota/policy/concepts.hpp>
#include <rota/select/selectors.hpp>

// Selecting again in a store whose heads hold different tokens: each head is a problem of its own,
// and a span of them stands for the layer.

namespace rota::detail {

/// A budget over a layer's heads, when each head is its own problem of the span.
template <class Budget>
struct across_heads : Budget {};
template <counting_budget Budget>
struct across_heads<Budget> : Budget {
  static constexpr budget_scope scope =
      Budget::scope == budget_scope::layer ? budget_scope::span : Budget::scope;
};

/// The selector with its budget widened so.
template <class Selector>
struct across_heads_selector : Selector {};
template <class Selector>
requires Selector::selects struct across_heads_selector<Selector> : Selector {
  using budget = across_heads<typename Selector::budget>;
};

}  // namespace rota::detail
