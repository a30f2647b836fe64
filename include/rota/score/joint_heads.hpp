#pragma once

#include <rota/policy/concepts.hpp>

// Scorers whose definition joins all kv heads (tova). When a store is routed again, heads hold
// different tokens and are contexts of their own: what such a scorer gives each head alone is then
// averaged over the heads by position, an evicted token's part being 0, and handed back to it.

namespace rota {

/// A head's share of scores that all heads have made together, one a token.
struct joined_scores {
  view<const float, 1> joined;  ///< [tokens]
};

/// A head's context with what all heads have made together.
template <element E, class... Parts>
context<E, Parts..., joined_scores> with_joined(const context<E, Parts...>& own,
                                                const view<const float, 1>& joined) {
  context<E, Parts..., joined_scores> c;
  static_cast<context_views<E>&>(c) = own;
  ((static_cast<Parts&>(c) = own), ...);
  c.joined = joined;
  return c;
}

namespace detail {

/// The scorer inside `Scorer` that joins heads: itself, or its base.
template <class Scorer>
struct joint_scorer {
  static constexpr bool exists = false;
};
template <class Scorer>
requires requires {
  requires Scorer::joins_heads;
}
struct joint_scorer<Scorer> {
  static constexpr bool exists = true;
  using type = Scorer;
  static const typename Scorer::params& params_of(const typename Scorer::params& p) { return p; }
};
template <class Scorer>
requires requires {
  requires joint_scorer<typename Scorer::base>::exists;
}
struct joint_scorer<Scorer> {
  static constexpr bool exists = true;
  using type = typename joint_scorer<typename Scorer::base>::type;
  static const typename type::params& params_of(const typename Scorer::params& p) {
    return joint_scorer<typename Scorer::base>::params_of(p.base);
  }
};

/// Of a token selector; all_tokens has no scorer.
template <class Selector>
struct joint_scorer_of : joint_scorer<void> {};
template <class Selector>
requires Selector::selects struct joint_scorer_of<Selector>
    : joint_scorer<typename Selector::scorer> {
};

}  // namespace detail
}  // namespace rota
