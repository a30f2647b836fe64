#pragma once

#include <rota/policy/concepts.hpp>

// Selecting again in a store whose heads hold different tokens: each head is a problem of its own,
// and a span of them stands for the layer.

namespace rota::detail {

/// A budget of scope layer, widened to the span.
template <counting_budget Budget>
struct over_span : Budget {
  static constexpr budget_scope scope = budget_scope::span;
};

template <class Budget>
struct widened {
  using type = Budget;
};
template <counting_budget Budget>
requires(Budget::scope == budget_scope::layer) struct widened<Budget> {
  using type = over_span<Budget>;
};

/// A budget over a layer's heads, when each head is its own problem of the span.
template <class Budget>
using across_heads = typename widened<Budget>::type;

}  // namespace rota::detail
