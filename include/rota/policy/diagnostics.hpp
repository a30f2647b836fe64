#pragma once

#include <rota/policy/concepts.hpp>

// Turns a policy that does not fit into one sentence of the compiler, before anything else fails.

namespace rota::detail {

template <class P>
concept has_kind = requires {
  typename P::policy_kind;
};
template <class P>
concept has_params = requires {
  typename P::params;
};

template <class P>
consteval bool require_token_scorer() {
  static_assert(has_kind<P>,
                "rota: a policy needs `using policy_kind = ...`; a token scorer's is "
                "rota::token_scorer_tag");
  static_assert(has_params<P>, "rota: a policy needs a nested `struct params` (it may be empty)");
  if constexpr (has_kind<P> && has_params<P>) {
    static_assert(
        policy_of<P, token_scorer_tag>,
        "rota: tokens<Scorer, Budget> needs a token scorer first: its policy_kind must be "
        "rota::token_scorer_tag");
    static_assert(!policy_of<P, token_scorer_tag> || token_scorer<P>,
                  "rota: a token scorer needs `static float score(const params&, const "
                  "rota::token_ref&)`, or sums, accumulate, finish and score with a third argument "
                  "`const float*`");
  }
  return token_scorer<P>;
}

template <class P>
consteval bool require_group_scorer() {
  static_assert(has_kind<P>,
                "rota: a policy needs `using policy_kind = ...`; a group scorer's is "
                "rota::group_scorer_tag");
  static_assert(has_params<P>, "rota: a policy needs a nested `struct params` (it may be empty)");
  if constexpr (has_kind<P> && has_params<P>) {
    static_assert(
        policy_of<P, group_scorer_tag>,
        "rota: groups<Scorer, Budget> needs a group scorer first: its policy_kind must be "
        "rota::group_scorer_tag");
    static_assert(!policy_of<P, group_scorer_tag> || group_scorer<P>,
                  "rota: a group scorer needs `static float score(const params&, const "
                  "rota::group_ref&)`");
  }
  return group_scorer<P>;
}

template <class B>
consteval bool require_budget() {
  static_assert(has_kind<B>,
                "rota: a policy needs `using policy_kind = ...`; a budget's is rota::budget_tag");
  static_assert(has_params<B>, "rota: a policy needs a nested `struct params` (it may be empty)");
  if constexpr (has_kind<B> && has_params<B>) {
    static_assert(policy_of<B, budget_tag>,
                  "rota: a selector needs a budget second: its policy_kind must be "
                  "rota::budget_tag");
    static_assert(
        !policy_of<B, budget_tag> || budget<B>,
        "rota: a budget needs `static rota::status check(const params&)` and either "
        "`static constexpr rota::budget_scope scope` with `static rota::index_t "
        "count(const params&, rota::index_t items)`, or `static float threshold(const "
        "params&)`, or `static int row_count(const params&, const float*, int)`, or `static "
        "constexpr int types` with `static rota::index_t count_of_type(const params&, "
        "rota::index_t items, int type)`");
    if constexpr (counting_budget<B>)
      static_assert(
          !counts_by_place<B> || B::scope != budget_scope::span,
          "rota: a budget whose count takes a rota::budget_place counts in one layer: its "
          "scope is row, head or layer");
  }
  return budget<B>;
}

template <class B>
consteval bool require_token_budget() {
  if constexpr (require_budget<B>())
    static_assert(
        counting_budget<B> || threshold_budget<B>,
        "rota: tokens<Scorer, Budget> needs a budget with a count or a threshold; one "
        "with row_count or count_of_type decides about the groups of a token: it belongs into "
        "groups<Scorer, Budget>");
  return true;
}

/// Whether a token selector can be held to fewer tokens than its budget keeps.
template <class Selector>
concept evicting_selector = Selector::selects && counting_budget<typename Selector::budget>;

template <class Selector>
consteval bool require_eviction() {
  static_assert(evicting_selector<Selector>,
                "rota: reroute_within evicts tokens until the store fits, so the operator needs a "
                "token selector tokens<Scorer, Budget> whose budget counts (keep_ratio, fixed_k, "
                "...); a threshold cannot be held to a number of bytes");
  return evicting_selector<Selector>;
}

template <class P>
consteval bool require_described() {
  static_assert(described_policy<P>,
                "rota: a store is saved under a fingerprint of its policies, so each of them needs "
                "`static void describe(const params&, rota::fingerprint&)`, which adds its name "
                "and what its params hold");
  return described_policy<P>;
}

/// Never defined: the compiler's error about it names the policy and the part.
template <class Policy, class Part>
struct a_scorer_needs_a_part_that_the_context_does_not_carry;

template <class Context, class Policy, class Needs>
struct missing_part;
template <class Context, class Policy, class First, class... Rest>
struct missing_part<Context, Policy, needs<First, Rest...>> {
  using type = typename std::conditional_t<
      has_part<Context, First>::value, missing_part<Context, Policy, needs<Rest...>>,
      std::type_identity<a_scorer_needs_a_part_that_the_context_does_not_carry<Policy, First>>>::
      type;
};

template <class Context, class Policy>
consteval bool require_parts() {
  if constexpr (!provides<Context, Policy>)
    static_assert(
        sizeof(typename missing_part<Context, Policy, typename needs_of<Policy>::type>::type) > 0);
  static_assert(provides<Context, Policy>,
                "rota: this scorer needs a part that the context does not carry; add what its "
                "`needs` names: rota::context<E, rota::window_queries, ...>");
  return provides<Context, Policy>;
}

template <class Context, class Fill>
consteval bool require_fill_parts() {
  static_assert(provides<Context, Fill>,
                "rota: this fill needs a part that the context does not carry; add what its "
                "`needs` names: rota::context<E, rota::fill_codec, ...>");
  return provides<Context, Fill>;
}

}  // namespace rota::detail
